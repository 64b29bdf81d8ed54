"""A model takes the place of another: it is warmed and compared before it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError, SchemaMismatch
from offline_trader.serving.model_rules import stated_rules
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import Observations

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = ["Comparison", "compared", "require_alike", "require_near"]

_WARM_RUNS = 20


@dataclass(frozen=True)
class Comparison:
    """Two models on the same recorded observations.

    Attributes:
        observations: how many.
        largest: largest |difference| of their actions, in [0, 2].
        mean: mean |difference|.
        opposite: share of observations where one buys and the other sells.
    """

    observations: int
    largest: float
    mean: float
    opposite: float


def require_alike(now: OnnxPolicy, new: OnnxPolicy, rules: SimulatorConfig) -> None:
    """Nothing if ``new`` can take the place of ``now`` on a running account.

    Raises:
        SchemaMismatch: it reads other columns.
        ConfigError: it was trained by other trading rules, or one of them takes a goal, whose
            horizon would begin anew, or chooses among options, which would be cut short.
    """
    for each in (now, new):
        if each.task is not None or each.keeps_state:
            kind = "chooses among options" if each.keeps_state else "takes a goal"
            raise ConfigError(
                f"{each.path.name} {kind}",
                expected="models without goals or options where they are swapped or in the shadow",
                hint="begin a log of its own for a model with a goal or with options",
            )
    if new.layout.hash != now.layout.hash:
        raise SchemaMismatch(
            f"{new.path.name} reads observation layout {new.layout.hash[:12]}, the model in force "
            f"{now.layout.hash[:12]}",
            expected="one layout for all models of a desk",
            hint="begin a log of its own for a model of other features",
        )
    if new.metadata.get("simulator") is not None and stated_rules(new) != rules:
        raise ConfigError(
            f"{new.path.name} was trained by other trading rules than those of the desk",
            expected="the same rules: costs, order mode, sizing and limits",
            hint="begin a log of its own for other rules",
        )


def compared(
    now: OnnxPolicy, new: OnnxPolicy, recorded: Sequence[Observations], hold: float
) -> Comparison:
    """Warm ``new`` and compare it on what was decided last.

    Args:
        now: the model in force.
        new: that is to take its place.
        recorded: rows [F + P]; none: it is warmed on zeros.
        hold: |action| below which nothing is asked for.

    Raises:
        DataError: it answers no finite action for one of them.
    """
    seen = np.stack(recorded) if recorded else np.zeros((1, new.layout.size), dtype=np.float32)
    for _ in range(_WARM_RUNS):  # a row alone, as it will be asked
        new(seen[:1])
    before, after = now(seen)[:, 0].astype(np.float64), new(seen)[:, 0].astype(np.float64)
    if not recorded:
        return Comparison(0, 0.0, 0.0, 0.0)
    apart = np.abs(after - before)
    acts = (np.abs(before) >= hold) & (np.abs(after) >= hold)
    return Comparison(
        len(seen),
        float(apart.max()),
        float(apart.mean()),
        float(np.mean(acts & (np.sign(before) != np.sign(after)))),
    )


def require_near(found: Comparison, largest: float | None) -> None:
    """Nothing if the models differ by no more than was allowed.

    Raises:
        ConfigError: they do.
    """
    if largest is not None and found.largest > largest:
        raise ConfigError(
            f"on {found.observations} recorded observations the actions differ by up to "
            f"{found.largest:.4g}, {found.mean:.4g} on average",
            expected=f"{largest:.4g} or less, as the request says",
            hint="look at the model, or allow more",
        )
