"""Action noise: Gaussian, ε-uniform, sticky; each with its own seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.experts.draws import normal_draws, stream_seed, uniform_draws
from offline_trader.types import FloatArray, IntArray

__all__ = ["Noise", "NoiseKind"]

NoiseKind: TypeAlias = Literal["gaussian", "epsilon", "sticky"]

_KINDS: tuple[str, ...] = get_args(NoiseKind)


@dataclass(frozen=True)
class Noise:
    """A disturbance of executed actions, a pure function of (seed, lane, step).

    Attributes:
        kind: ``gaussian``: adds ``scale``·N(0, 1); ``epsilon``: with probability ``scale`` a
            uniform action in [−1, 1] instead; ``sticky``: with probability ``scale`` the lane's
            previous action again (Machado et al. 2018), never across an episode's start.
        scale: standard deviation, or probability.
        seed: of this noise alone.
    """

    kind: NoiseKind
    scale: float
    seed: int = 0

    def __post_init__(self) -> None:
        kinds = _KINDS
        if self.kind not in kinds:
            raise ConfigError(f"noise kind {self.kind!r}", expected=f"one of {', '.join(kinds)}")
        top = np.inf if self.kind == "gaussian" else 1.0
        if not 0.0 <= self.scale <= top or np.isinf(self.scale):
            what = "a finite standard deviation ≥ 0" if top == np.inf else "a probability in [0, 1]"
            raise ConfigError(f"{self.kind} noise of scale {self.scale}", expected=what)

    def apply(
        self,
        actions: FloatArray,
        previous: FloatArray,
        lanes: IntArray,
        steps: IntArray,
        seed: int = 0,
    ) -> FloatArray:
        """Disturbed actions [N] in [−1, 1].

        Args:
            actions: [N] actions before the noise.
            previous: [N] action that each lane executed last; NaN at an episode's start.
            lanes: [N] lane numbers.
            steps: [N] steps that each lane has done since the beginning.
            seed: of the whole collection, mixed with the noise's own.
        """
        stream = stream_seed(seed, self.seed, _KINDS.index(self.kind))
        if self.kind == "gaussian":
            return np.clip(actions + self.scale * normal_draws(stream, lanes, steps), -1.0, 1.0)
        hit = uniform_draws(stream_seed(stream, 3), lanes, steps) < self.scale
        if self.kind == "epsilon":
            drawn = actions.copy()
            drawn[hit] = 2.0 * uniform_draws(stream, lanes[hit], steps[hit]) - 1.0
            return drawn
        return np.where(hit & ~np.isnan(previous), previous, actions)

    def to_dict(self) -> dict[str, object]:
        """JSON form."""
        return {"kind": self.kind, "scale": self.scale, "seed": self.seed}
