"""The folder of an evaluation: its name, what is written there, that none replaces another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from offline_trader.errors import ConfigError, DataError
from offline_trader.locks import locked

if TYPE_CHECKING:
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.judging import Evaluation

__all__ = ["claimed_folder", "evaluation_folder", "publish", "read_evaluation"]

RECORD = "evaluation.json"
_LONGEST_NAME = 120


def evaluation_folder(name: str, env: EnvConfig) -> Path:
    """``runs/evaluation-NAME-MARKET-from-START-to-END``: what was judged, and on which bars.

    Args:
        name: the run, model or expert.
        env: the markets and dates; a date that is not given is left out.
    """
    markets = "+".join(Path(source.partition("?")[0]).stem for source in env.market)
    parts = ["evaluation", name, markets]
    parts += [f"from-{env.start}"] if env.start else []
    parts += [f"to-{env.end}"] if env.end else []
    plain = re.sub(r"[^\w.+-]+", "-", "-".join(parts))
    return Path("runs") / plain[:_LONGEST_NAME].strip("-.")


def _refuse_taken(folder: Path, *, overwrite: bool) -> None:
    """Nothing if a report may be written to ``folder``.

    Raises:
        ConfigError: another one is there, and ``overwrite`` is not given.
    """
    if (folder / RECORD).exists() and not overwrite:
        raise ConfigError(
            f"{folder} holds an evaluation",
            expected="a folder without one",
            hint="add --overwrite to replace it, or choose another --output",
        )


@contextmanager
def claimed_folder(folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Inside the block no other process writes a report to ``folder``.

    Raises:
        ConfigError: another process is at it, or a report is there without ``overwrite``.
    """
    _refuse_taken(folder, overwrite=overwrite)
    with locked(folder / ".lock", f"the folder {folder}"):
        _refuse_taken(folder, overwrite=overwrite)
        yield


def publish(evaluation: Evaluation, folder: Path) -> None:
    """Write ``evaluation.json``, ``report.html`` and the figures under ``plots`` to ``folder``."""
    from offline_trader.evaluation.report import write_report

    evaluation.save(folder / RECORD)
    write_report(evaluation, folder / "report.html", png_directory=folder / "plots")


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation in a folder or file.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    from offline_trader.evaluation.judging import Evaluation

    file = path / RECORD if path.is_dir() else path
    if not file.is_file() and (path / "evaluation" / RECORD).is_file():
        file = path / "evaluation" / RECORD
    if not file.is_file():
        raise DataError(
            f"{path} holds no evaluation.json",
            expected="a folder that evaluate or judge wrote",
            hint="run offline-trader evaluate first",
        )
    return Evaluation.load(file)
