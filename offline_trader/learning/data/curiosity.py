"""Curiosity as a transform of sampled batches: Pathak et al. 2017, intrinsic curiosity module.

An encoder φ, an inverse model (φ(s), φ(s')) → a, and a forward model (φ(s), a) → φ(s') are trained
on the batches that the agent learns from, by

    L = (1 − β) · E‖â − a‖² + β · E ½‖φ̂(s') − φ(s')‖²

with φ held constant in the second term, so that φ holds what actions control and cannot shrink to
please the forward model. A transition's intrinsic reward is ``η · ½‖φ̂(s') − φ(s')‖² / σ``, σ the
running deviation of the error; it is not centred, because a bonus below 0 punishes what is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from offline_trader.learning.data.batch import Batch
from offline_trader.learning.data.curiosity_models import CuriosityModels, Errors
from offline_trader.learning.data.transforms import Columns
from offline_trader.learning.settings import CuriosityConfig

__all__ = ["Curiosity"]


class Curiosity:
    """Mixes the intrinsic reward into sampled batches: ``(1 − w) · r + w · intrinsic``.

    w halves every ``half_life`` batches. Market features are noise that no action controls, so the
    models see the columns that the agent's own doing moves.

    Args:
        config: settings.
        observation_size: O.
        action_size: A.
        columns: of the observation that the models see, such as the portfolio's; empty: all.
        seed: of the models' first weights.
        device: of the batches.
    """

    columns: tuple[tuple[str, int], ...] = ()

    def __init__(
        self,
        config: CuriosityConfig,
        observation_size: int,
        action_size: int,
        columns: Sequence[int] = (),
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self._config = config
        seen = list(columns) or list(range(observation_size))
        # neighbouring columns, as the portfolio's, are read in place
        neighbours = seen == list(range(seen[0], seen[0] + len(seen)))
        self._seen: Any = slice(seen[0], seen[0] + len(seen)) if neighbours else seen
        self._networks = CuriosityModels(config, len(seen), action_size, seed, device)
        self._batches = 0
        self._spread = _Spread()
        self._sums = [0.0] * len(_METRICS)
        self._counts = [0] * len(_METRICS)

    @property
    def models(self) -> nn.ModuleDict:
        """``encoder``, ``inverse`` and ``dynamics``."""
        return self._networks.modules

    @property
    def share(self) -> float:
        """w, the share of the intrinsic reward in the next batch's."""
        config = self._config
        halvings = self._batches / config.half_life if config.half_life else 0.0
        return float(config.weight * 0.5**halvings)

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """Unchanged: rewards are found anew whenever a transition is drawn."""
        return columns

    def sampled(self, batch: Batch) -> Batch:
        """The batch with mixed rewards; on some batches the models are trained."""
        if self._batches % self._config.train_interval == 0:
            self._train(batch)
        share, (errors, scale) = self.share, self._scaled(batch)
        batch["rewards"].mul_(1.0 - share).add_(errors.each[:, None], alpha=share * scale)
        self._batches += 1
        self._note(0, errors.mean * scale)
        self._note(1, share)
        return batch

    def intrinsic(self, batch: Batch) -> torch.Tensor:
        """[B] intrinsic rewards ≥ 0 of the transitions, before they are weighted."""
        errors, scale = self._scaled(batch)
        return errors.each * scale

    def _scaled(self, batch: Batch) -> tuple[Errors, float]:
        """The batch's errors, and what makes them intrinsic rewards."""
        errors = self._networks.errors(*self._given(batch))
        self._spread.add(len(errors.each), errors.mean, errors.squares)
        return errors, self._config.eta / self._spread.deviation

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The inverse and the forward model's loss, with their graphs."""
        return self._networks.losses(*self._given(batch))

    def gradient(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        """That of ``(1 − β) · inverse + β · forward`` by parameter, as training follows it."""
        return self._networks.gradient(*self._given(batch))

    def _train(self, batch: Batch) -> None:
        inverse, forward = self._networks.train(*self._given(batch))
        self._note(2, inverse)
        self._note(3, forward)

    def _given(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What is seen of states, those that follow, and the actions."""
        state, after = batch["observations"], batch["next_observations"]
        return state[:, self._seen], after[:, self._seen], batch["actions"]

    def _note(self, metric: int, value: float) -> None:
        self._sums[metric] += value
        self._counts[metric] += 1

    def metrics(self) -> Mapping[str, float]:
        """Means since the last call: intrinsic reward, its share, the models' losses."""
        found = zip(_METRICS, self._sums, self._counts, strict=True)
        means = {name: total / count for name, total, count in found if count}
        self._sums, self._counts = [0.0] * len(_METRICS), [0] * len(_METRICS)
        return means

    def state_dict(self) -> dict[str, Any]:
        """Models, their optimizer, counters."""
        return {
            "models": self._networks.state_dict(),
            "batches": self._batches,
            "spread": self._spread.state(),
            "metrics": [list(self._sums), list(self._counts)],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._networks.load_state_dict(state["models"])
        self._batches = int(state["batches"])
        self._spread = _Spread(*state["spread"])
        self._sums, self._counts = (list(each) for each in state["metrics"])


_METRICS = ("intrinsic_reward", "intrinsic_share", "inverse_loss", "forward_loss")


class _Spread:
    """Running standard deviation over all errors so far (Chan et al. 1979, merged by batches)."""

    def __init__(self, count: int = 0, mean: float = 0.0, squares: float = 0.0) -> None:
        self._count, self._mean, self._squares = count, mean, squares

    def add(self, size: int, mean: float, squares: float) -> None:
        """Take in a batch: how many, their mean, their squared distances from it."""
        total, apart = self._count + size, mean - self._mean
        self._squares += squares + apart**2 * self._count * size / total
        self._mean += apart * size / total
        self._count = total

    @property
    def deviation(self) -> float:
        """σ; 1 where nothing has varied yet, as in a first batch of one."""
        found = math.sqrt(self._squares / max(1, self._count))
        return found if found > 0.0 else 1.0

    def state(self) -> list[Any]:
        """What another is made of."""
        return [self._count, self._mean, self._squares]
