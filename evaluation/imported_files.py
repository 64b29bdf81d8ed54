"""The rows of a file or a pandas object that holds a result."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

from offline_trader.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_frame"]


def read_frame(
    source: Path | str | pd.Series | pd.DataFrame, kind: str
) -> tuple[pd.DataFrame, str]:
    """The rows of a file or pandas object as a frame with its index as columns, and its name.

    The frame's own index is what messages call the row: the line of a text file, else from 1.

    Raises:
        DataError: no such file, unknown type, no rows.
    """
    import pandas as pd

    if isinstance(source, pd.Series | pd.DataFrame) and isinstance(source.index, pd.PeriodIndex):
        source = source.set_axis(source.index.to_timestamp(how="end").normalize())
    if isinstance(source, pd.Series):
        name = str(source.name) if source.name is not None else "series"
        if source.name is None and kind == "auto":
            raise ConfigError(
                "a Series without a name", expected="kind='returns' or kind='equity' beside it"
            )
        frame = source.rename(name).to_frame()
        return _with_index(frame), name
    if isinstance(source, pd.DataFrame):
        return _with_index(source), "frame"
    path = Path(source)
    if not path.is_file():
        raise DataError(f"no file {path}", expected="a .csv, .csv.gz or .parquet file")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = _with_index(pd.read_parquet(path))
        else:
            frame = _read_text(path)
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is not text in UTF-8 or UTF-16",
            expected="CSV in UTF-8",
            hint="save it again as `CSV UTF-8`",
        ) from None
    except Exception as error:
        raise DataError(f"{path} cannot be read: {error}", expected="CSV or Parquet") from None
    if frame.empty:
        raise DataError(f"{path} has no rows", expected="a header and rows of values")
    return frame, path.name


def _read_text(path: Path) -> pd.DataFrame:
    """The rows of a CSV file; its index are the file's lines, by which messages name a row."""
    import pandas as pd

    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rb") as file:
        begins = file.read(2)
    encoding = "utf-16" if begins in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    remarks = 0  # lines before the header that are empty or begin with #
    with opened(path, "rt", encoding=encoding) as lines:
        for line in lines:
            if line.strip()[:1] not in "#":
                break
            remarks += 1
        else:
            return pd.DataFrame()
    frame = pd.read_csv(path, sep=None, engine="python", skiprows=remarks, encoding=encoding)
    return frame.set_axis(range(remarks + 2, remarks + 2 + len(frame)))


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    copy: pd.DataFrame = frame
    if not isinstance(frame.index, pd.RangeIndex):
        copy = frame.reset_index()
        if frame.index.name is None:
            copy = copy.rename(columns={copy.columns[0]: "timestamp"})
    return copy.set_axis(range(1, len(copy) + 1))
