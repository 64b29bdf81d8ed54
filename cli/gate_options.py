"""The options ``--gates`` and ``--stage``: which limits a result is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from offline_trader.evaluation.gates import GateSet

__all__ = ["Gates", "Stage", "read_limits"]

Gates = Annotated[
    str | None,
    typer.Option("--gates", help="Check the gates: default, or a YAML file with your limits."),
]
Stage = Annotated[int | None, typer.Option("--stage", help="Stage whose limits the gates use.")]


def read_limits(gates: str | None, stage: int | None) -> GateSet | None:
    """The limits that the options ask for, None without either.

    Raises:
        ConfigError: a file that cannot be read or a stage that is not in it.
    """
    if gates is None and stage is None:
        return None
    from offline_trader.evaluation.gates import load_gates

    return load_gates(None if gates in (None, "default") else gates, stage)
