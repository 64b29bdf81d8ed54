"""Where ``evaluate`` and ``judge`` put a report, and that none takes the place of another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline_trader.errors import ConfigError
from offline_trader.locks import locked

if TYPE_CHECKING:
    from offline_trader.envs import EnvConfig

__all__ = ["Overwrite", "claimed_folder", "evaluation_folder"]

RECORD = "evaluation.json"
_LONGEST_NAME = 120

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the report that is in the folder.")
]


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
