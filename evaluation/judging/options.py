"""What an evaluation looks at besides the run itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import DEFAULT_COSTS_BPS, Trials

__all__ = ["EvaluateOptions", "TrialScope"]

TrialScope: TypeAlias = Literal["market", "project"]


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate besides the run itself.

    Attributes:
        name: for the report; empty: the file's or the expert's.
        experts: source experts to compare with.
        costs_bps: costs a side of the sweep; empty: no sweep.
        delay_bars: bars of delay of the robustness run; 0: none.
        noise_bps: standard deviation of the price noise a bar.
        noise_draws: runs on noisy prices; 0: none.
        oracle: measure the share of what perfect foresight would have earned.
        trial_scope: which trials the result is held against: those on its ``market``, or all of
            the ``project``, where the best market was chosen among several.
        seed: of bootstrap, permutations and noise.
        replicates: bootstrap samples.
    """

    name: str = ""
    experts: tuple[str, ...] = ()
    costs_bps: tuple[float, ...] = DEFAULT_COSTS_BPS
    delay_bars: int = 1
    noise_bps: float = 10.0
    noise_draws: int = 5
    oracle: bool = True
    trial_scope: TrialScope = "market"
    seed: int = 0
    replicates: int = 1000

    @property
    def trials(self) -> Trials:
        """The robustness runs among these settings."""
        return Trials(self.costs_bps, self.delay_bars, self.noise_bps, self.noise_draws, self.seed)

    def __post_init__(self) -> None:
        if any(not 0 <= cost < 5_000 for cost in self.costs_bps):
            raise ConfigError(f"costs_bps {self.costs_bps}", expected="from 0 to below 5000")
        for name in ("delay_bars", "noise_draws", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)}", expected="0 or more")
        if self.trial_scope not in ("market", "project"):
            raise ConfigError(f"trial_scope {self.trial_scope!r}", expected="market or project")
        if not 0 <= self.noise_bps < 5_000:
            raise ConfigError(f"noise_bps = {self.noise_bps}", expected="from 0 to below 5000")
