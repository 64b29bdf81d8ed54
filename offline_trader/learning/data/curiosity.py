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

from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.data.batch import Batch
from offline_trader.learning.data.transforms import Columns
from offline_trader.learning.engines import PlainAdam, without_dynamo
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
        self._seen = torch.tensor(seen, device=device)
        hidden, features = config.hidden, config.features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.models = nn.ModuleDict(
                {
                    "encoder": _network(len(seen), hidden, features),
                    "inverse": _network(2 * features, hidden, action_size),
                    "dynamics": _network(features + action_size, hidden, features),
                }
            ).to(device)
        with without_dynamo():
            self._optimizer = PlainAdam(self.models.parameters(), lr=config.learning_rate)
        self._batches = 0
        self._spread = _Spread()
        self._sums = [0.0] * len(_METRICS)
        self._counts = [0] * len(_METRICS)

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
        share, intrinsic = self.share, self.intrinsic(batch)
        rewards = batch["rewards"]
        rewards.mul_(1.0 - share).add_(intrinsic[:, None], alpha=share)
        self._batches += 1
        self._note(0, float(intrinsic.mean()))
        self._note(1, share)
        return batch

    def intrinsic(self, batch: Batch) -> torch.Tensor:
        """[B] intrinsic rewards ≥ 0 of the transitions, before they are weighted."""
        with torch.no_grad():
            state, after = self._encoded(batch)
            errors = self._errors(state, after, batch["actions"])
        self._spread.add(errors)
        return self._config.eta * errors / self._spread.deviation

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The inverse and the forward model's loss, with their graphs."""
        state, after = self._encoded(batch)
        guessed = self.models["inverse"](torch.cat([state, after], dim=1))
        inverse = (guessed - batch["actions"]).square().sum(dim=1).mean()
        forward = self._errors(state.detach(), after.detach(), batch["actions"]).mean()
        return inverse, forward

    def _train(self, batch: Batch) -> None:
        beta = self._config.beta
        self._optimizer.zero_grad()
        inverse, forward = self.losses(batch)
        ((1.0 - beta) * inverse + beta * forward).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._note(2, float(inverse.detach()))
        self._note(3, float(forward.detach()))

    def _encoded(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """φ(s) and φ(s'), in one pass."""
        pair = torch.cat([batch["observations"], batch["next_observations"]])
        encoded = self.models["encoder"](pair.index_select(1, self._seen))
        state, after = encoded.chunk(2)
        return state, after

    def _errors(
        self, state: torch.Tensor, after: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """[B] ``½‖φ̂(s') − φ(s')‖²``."""
        told: torch.Tensor = self.models["dynamics"](torch.cat([state, actions], dim=1))
        return 0.5 * (told - after).square().sum(dim=1)

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
        with without_dynamo():
            optimizer = self._optimizer.state_dict()
        return {
            "models": dict(self.models.state_dict()),
            "optimizer": optimizer,
            "batches": self._batches,
            "spread": self._spread.state(),
            "metrics": [list(self._sums), list(self._counts)],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.models.load_state_dict(state["models"])
        with without_dynamo():
            _d3rlpy.load_moments(self._optimizer, state["optimizer"])
        self._batches = int(state["batches"])
        self._spread = _Spread(*state["spread"])
        self._sums, self._counts = (list(each) for each in state["metrics"])


_METRICS = ("intrinsic_reward", "intrinsic_share", "inverse_loss", "forward_loss")


class _Spread:
    """Running standard deviation over all errors so far (Chan et al. 1979, merged by batches)."""

    def __init__(self, count: int = 0, mean: float = 0.0, squares: float = 0.0) -> None:
        self._count, self._mean, self._squares = count, mean, squares

    def add(self, values: torch.Tensor) -> None:
        """Take in a batch [B]."""
        size, mean = len(values), float(values.mean(dtype=torch.float64))
        squares = float((values.double() - mean).square().sum())
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


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
