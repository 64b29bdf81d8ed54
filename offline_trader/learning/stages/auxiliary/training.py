"""Training of the encoder by its heads, stopped early on later bars."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.engines import EngineFacts, PlainAdam, without_dynamo
from offline_trader.learning.settings import AuxiliaryConfig
from offline_trader.learning.stages.auxiliary.heads import (
    HEADS,
    Heads,
    Said,
    Scales,
    Targets,
    weighted,
)
from offline_trader.learning.stages.auxiliary.rows import AuxiliaryData, LabelledRows
from offline_trader.learning.stages.auxiliary.table import (
    Direction,
    HeadScore,
    direction_of,
    head_scores,
)
from offline_trader.learning.stages.divergence import require_finite
from offline_trader.learning.stages.results import Checkpoint, Log, StageResult

__all__ = ["AuxiliaryResult", "encoder_bytes", "train_encoder"]

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class AuxiliaryResult(StageResult):
    """What the heads came to.

    Attributes:
        kept_step: step of the encoder that is kept: the best on the validation rows.
        validation_loss: weighted loss there, of the kept encoder; None where no head has a target.
        first_loss: the same before the first step.
        heads: every head beside its naive statements.
        direction: of the next return.
        engine: what computed the updates.
    """

    kept_step: int
    validation_loss: float | None
    first_loss: float | None
    heads: tuple[HeadScore, ...]
    direction: Direction | None
    engine: EngineFacts


def train_encoder(
    learner: Learner,
    data: AuxiliaryData,
    config: AuxiliaryConfig,
    log: Log | None = None,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    resume: Mapping[str, Any] | None = None,
) -> tuple[AuxiliaryResult, Heads]:
    """Train the learner's encoder and load it into actor and critics.

    The encoder is the actor's own, with its first weights; the outputs above it stay as they are.
    Training ends after ``config.patience`` validations without a better one.

    Args:
        learner: gets the encoder; its optimizers forget their moments.
        data: observations with labels.
        config: settings.
        log: gets (step, losses) and (step, validation losses).
        seed: of the heads and the batches.
        checkpoint: gets (step, state) every ``checkpoint_interval`` steps.
        resume: such a state: go on from it, to the same bytes as without the interruption.

    Returns:
        What came of it, and the heads on the kept encoder.

    Raises:
        OfflineTraderError: a loss is not finite.
    """
    if resume is not None:
        learner.load_state_dict(resume["learner"])
    training = _Training(learner, data, config, seed)
    if resume is not None:
        training.load_state_dict(resume)
    elif log is not None and training.engine.fallback is not None:
        log(0, {"auxiliary/engine": training.engine.fallback})
    if resume is None:
        training.validate(log)
    while training.step < config.updates and training.since_best < config.patience:
        training.update()
        step = training.step
        if step % config.log_interval == 0 or step == config.updates:
            measures = training.measures()
            require_finite(step, measures)
            if log is not None:
                log(step, measures)
        if step % config.evaluate_interval == 0 or step == config.updates:
            training.validate(log)
        if checkpoint is not None and step % config.checkpoint_interval == 0:
            checkpoint(step, training.state_dict())
    result, heads = training.finish()
    if log is not None:
        log(training.step, _measures(result))
    return result, heads


def _measures(result: AuxiliaryResult) -> dict[str, float]:
    """The heads and their naive statements as rows of metrics."""
    found = {}
    for each in result.heads:
        found[f"auxiliary/{each.head}/score"] = each.score
        for name, value in each.naive.items():
            found[f"auxiliary/{each.head}/{name.replace(' ', '_')}"] = value
    if result.direction is not None:
        found["auxiliary/direction/accuracy"] = result.direction.accuracy
        found["auxiliary/direction/majority"] = result.direction.majority
    return found


class _Training:
    """Network, optimizer, draws and the best encoder so far."""

    def __init__(
        self, learner: Learner, data: AuxiliaryData, config: AuxiliaryConfig, seed: int
    ) -> None:
        self._learner, self._data, self._config = learner, data, config
        device = learner.config.device
        fast = learner.config.engine == "fast"
        self.engine = EngineFacts("torch", "the heads of auxiliary tasks" if fast else None)
        encoder, units = learner.encoder_copy()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._heads = Heads(encoder, units, Scales.of(data.training)).to(device)
        self._generator = torch.Generator().manual_seed(seed)
        with without_dynamo():
            self._optimizer = PlainAdam(
                self._heads.parameters(),
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                decoupled_weight_decay=True,
            )
        self._scaled, self._targets = self._tensors(data.training)
        self._validation = self._tensors(data.validation)
        self.step, self.since_best = 0, 0
        self._best: dict[str, Tensor] = {}
        self._best_step, self._best_loss, self._first_loss = 0, math.inf, math.inf
        self._sums, self._count = dict.fromkeys(HEADS, 0.0), 0

    def _tensors(self, rows: LabelledRows) -> tuple[Tensor, Targets]:
        device = self._learner.config.device
        scaled = torch.from_numpy(self._learner.preprocessing.observations(rows.observations))
        return scaled.to(device), Targets(*(each.to(device) for each in Targets.of(rows)))

    def update(self) -> None:
        """One gradient step."""
        size = (self._config.batch_size,)
        index = torch.randint(len(self._scaled), size, generator=self._generator)
        index = index.to(self._scaled.device)
        losses = self._heads.losses(self._heads(self._scaled[index]), self._targets.take(index))
        with without_dynamo():
            self._optimizer.zero_grad(set_to_none=True)
            weighted(losses, self._config.weights).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        self.step += 1
        self._count += 1
        for name, loss in losses.items():
            self._sums[name] += float(loss.detach())

    def validate(self, log: Log | None) -> None:
        """Keep the encoder if it is the best so far on the validation rows."""
        losses = self._heads.losses(self._said(self._validation[0]), self._validation[1])
        total = float(weighted(losses, self._config.weights))
        if self.step == 0:
            self._first_loss = total
        if total < self._best_loss:
            self._best_step, self._best_loss, self.since_best = self.step, total, 0
            self._best = copy.deepcopy(self._heads.state_dict())
        else:
            self.since_best += 1
        if log is not None:
            shown = {f"auxiliary/validation_{name}": float(loss) for name, loss in losses.items()}
            log(self.step, {**shown, "auxiliary/validation_loss": total})

    @torch.no_grad()
    def _said(self, scaled: Tensor) -> Said:
        parts = [self._heads(part) for part in torch.split(scaled, _ROWS_AT_ONCE)]
        return Said(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def measures(self) -> dict[str, float]:
        """Mean loss of every head since the last call."""
        count = max(self._count, 1)
        found = {f"auxiliary/{name}": total / count for name, total in self._sums.items()}
        self._sums, self._count = dict.fromkeys(HEADS, 0.0), 0
        return found

    def finish(self) -> tuple[AuxiliaryResult, Heads]:
        """Load the best encoder into the learner and measure its heads."""
        self._heads.load_state_dict(self._best)
        self._learner.load_encoder(self._heads.encoder)
        said = Said(*(each.cpu() for each in self._said(self._validation[0])))
        rows, training = self._data.validation, self._data.training
        scores = head_scores(said, rows, training)
        direction = direction_of(said, rows, training)
        place = "validation bars" if self._data.validated else "last bars of the training range"
        told = [f"encoder of step {self._best_step:,} of {self.step:,}, the best on the {place}"]
        told += [each.text() for each in scores]
        told += [] if direction is None else [direction.text()]
        result = AuxiliaryResult(
            updates=self.step,
            told=tuple(told),
            kept_step=self._best_step,
            validation_loss=self._best_loss,
            first_loss=self._first_loss,
            heads=scores,
            direction=direction,
            engine=self.engine,
        )
        return result, self._heads

    @without_dynamo()
    def state_dict(self) -> dict[str, Any]:
        """What the next update reads beside the learner and the data."""
        return {
            "learner": self._learner.state_dict(),
            "step": self.step,
            "heads": copy.deepcopy(self._heads.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "best": dict(self._best),
            "best_step": self._best_step,
            "losses": [self._best_loss, self._first_loss],
            "since_best": self.since_best,
            "sums": dict(self._sums),
            "count": self._count,
        }

    @without_dynamo()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.step = int(state["step"])
        self._heads.load_state_dict(state["heads"])
        _d3rlpy.load_moments(self._optimizer, state["optimizer"])
        self._generator.set_state(state["generator"])
        self._best, self._best_step = dict(state["best"]), int(state["best_step"])
        self._best_loss, self._first_loss = state["losses"]
        self.since_best = int(state["since_best"])
        self._sums, self._count = dict(state["sums"]), int(state["count"])


def encoder_bytes(heads: Heads) -> bytes:
    """Encoder, outputs and scales of the targets as a ``.npz`` file: arrays and nothing to run."""
    arrays = {name: value.cpu().numpy() for name, value in heads.state_dict().items()}
    scales = np.array([heads.scales.next_return, heads.scales.volatility])
    buffer = io.BytesIO()
    np.savez(buffer, scales=scales, **arrays)
    return buffer.getvalue()
