"""Taking a dataset's files as they are: checksums for those of others, or changed on purpose."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from offline_trader.datasets import checksums
from offline_trader.datasets.catalog import dataset_path, datasets_root
from offline_trader.datasets.episode_index import INDEX_FILE
from offline_trader.datasets.replacing import dataset_lock
from offline_trader.errors import DataError

__all__ = ["seal"]


def seal(dataset_id: str, root: Path | str | None = None) -> bool:
    """Write the checksums of a dataset that has none, or that was changed on purpose.

    That its files are what their maker wrote is the user's own word from then on.

    Returns:
        whether there was anything to do.

    Raises:
        ConfigError: not an id, or a dataset that another process writes.
        DataError: no such dataset.
    """
    data = dataset_path(dataset_id, root) / "data"
    with dataset_lock(datasets_root(root), dataset_id):
        with suppress(DataError):
            sums = checksums.read(data)
            if sums is not None:
                checksums.check_folder(data, sums)
                return False
        (data / INDEX_FILE).unlink(missing_ok=True)  # it is of the file that was published
        checksums.write(data)
    return True
