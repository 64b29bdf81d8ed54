"""The direct stage: gradient steps on the net result of windows of logged bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.learning.settings import DirectConfig
from offline_trader.learning.stages.direct.compiled import engine_for, make_unroll
from offline_trader.learning.stages.direct.forecast_input import ForecastPolicy
from offline_trader.learning.stages.direct.limits import DrawdownLimit
from offline_trader.learning.stages.direct.market import DirectMarket
from offline_trader.learning.stages.direct.objectives import objective
from offline_trader.learning.stages.direct.replaying import LogJudge
from offline_trader.learning.stages.direct.scaling import ScaledSelection
from offline_trader.learning.stages.direct.unrolling import Batch, Unrolled, drawn_starts
from offline_trader.learning.stages.divergence import require_finite
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, TrainResult
from offline_trader.learning.stages.selection import Selection
from offline_trader.types import Policy

__all__ = ["DirectTraining", "train_direct"]


def train_direct(
    learner: Learner,
    market: DirectMarket,
    config: DirectConfig,
    log: Log | None = None,
    evaluate: Evaluate | None = None,
    checkpoint: Checkpoint | None = None,
    *,
    seed: int = 0,
    resume: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train the learner's actor (its deterministic action) through the market's dynamics.

    The critics are untouched, target actors follow, the spread of the actor stays as it is (0.1
    with ``market_input`` forecast), and the actor's optimizer starts anew in the next stage. At the
    end the learner holds the best policy by validation, the warm start if that is better than all
    of them; without a validator the best by the objective on the log itself, if
    ``config.evaluate_interval`` is set, and else the last. With ``config.drawdown_limit`` it is
    one that keeps to the limit on the log, or the warm start, but for a last one that ``price``
    trained and nothing validated.

    Args:
        learner: its actor is trained in place.
        market: logged series and the portfolio's dynamics over them.
        config: settings.
        log: gets (step, measures since the last row) and (step, validation measures).
        evaluate: validates a policy: a mapping with ``score``, higher is better.
        checkpoint: gets (step, state) every ``checkpoint_interval``.
        seed: of windows, exploring starts and noise.
        resume: such a state: go on from it, to the same bytes as without the interruption.

    Raises:
        ConfigError: observations of another size than the learner's.
        OfflineTraderError: the objective is not finite any more.
    """
    width = market.log.features.shape[1] + market.portfolio_size
    size = len(learner.preprocessing.mean)
    if width != size:
        raise ConfigError(f"a market whose observations have {width} columns", expected=str(size))
    learner.engine.flush()
    lengths = market.log.series[:, 1] - market.log.series[:, 0]
    config = replace(config, bars=min(config.bars, int(lengths.max())))
    training = DirectTraining(learner, market.to(learner.config.device), config, seed)
    judge = training.judge
    if evaluate is None and config.evaluate_interval > 0:

        def evaluate(policy: Policy) -> Mapping[str, float]:
            return judge(policy).measures  # the objective ranks, not the growth

    selection = _selection(training, config, evaluate, log, seed)
    step = 0
    if resume is not None:
        step = int(resume["step"])
        learner.load_state_dict(resume["learner"])
        training.load_state_dict(resume["training"])
        selection.load_state_dict(resume["selection"])
    else:
        if log is not None and training.engine.fallback is not None:
            log(0, {"direct/engine": training.engine.fallback})
        selection.consider(0, training)
    while step < config.updates:
        training.update(0.5 * (1.0 + math.cos(math.pi * step / config.updates)))
        step += 1
        if step % config.log_interval == 0 or step == config.updates:
            measures = training.measures()
            require_finite(step, measures)
            if log is not None:
                log(step, measures)
        if _validates(step, config):
            training.settle()
            selection.consider(step, training)
        if checkpoint is not None and step % config.checkpoint_interval == 0:
            training.settle()
            checkpoint(
                step,
                {
                    "step": step,
                    "learner": learner.state_dict(),
                    "training": training.state_dict(),
                    "selection": selection.state_dict(),
                },
            )
    training.settle()
    result = selection.finish(step, step, training)
    told = (*training.judge.forecast.told(), *result.told)
    return replace(result, engine=training.engine, told=told)


def _selection(
    training: DirectTraining,
    config: DirectConfig,
    evaluate: Evaluate | None,
    log: Log | None,
    seed: int,
) -> Selection | ScaledSelection:
    """What chooses among the states of a training."""
    if config.drawdown_limit > 0.0 and config.limit_by == "scale":
        return ScaledSelection(training, config, evaluate, log, seed)
    allowed = None
    if evaluate is not None and config.drawdown_limit > 0.0:
        allowed = training.judge.limit_check()
    return Selection(evaluate, log, preferred=True, allowed=allowed)


def _validates(step: int, config: DirectConfig) -> bool:
    at_interval = config.evaluate_interval > 0 and step % config.evaluate_interval == 0
    return at_interval or step == config.updates


class DirectTraining:
    """Everything between two updates: parameters, moments, draws, portfolios met so far.

    Args:
        learner: its actor is trained in place.
        market: on the learner's device; its longest series has ``config.bars`` or more decisions.
        config: settings; how many updates there are, and what is logged, is the caller's.
        seed: of windows, exploring starts and noise.

    Attributes:
        judge: of states of the training, on the log.
        whole: ``learner`` and ``market``.
        seen: the learner whose parameters are trained, and the market that it sees.
        engine: what unrolls.
    """

    def __init__(
        self, learner: Learner, market: DirectMarket, config: DirectConfig, seed: int
    ) -> None:
        self._learner, self._config = learner, config
        self._device = learner.config.device
        self.judge = LogJudge(learner, market, config)
        self.whole = learner, market
        self._through = None
        if self.judge.volatility is not None:
            self._through = ForecastPolicy(
                learner, market, self.judge.forecast, self.judge.volatility, seed
            )
            learner, market = self._through.learner, self._through.market
        self._trained, self._market = learner, market
        self.engine = engine_for(learner, market, config.engine)
        self._unroll = make_unroll(
            learner, market, self.judge.surprises, self.engine, pulled=config.clone_weight > 0
        )
        self.seen = learner, market
        self._limit = None
        if config.drawdown_limit > 0.0 and config.limit_by == "price":
            self._limit = DrawdownLimit(config.drawdown_limit, config.tail, config.price_rate)
        self._realised: Callable[[Batch], Unrolled] | None = None
        risky = config.objective != "growth" and config.forecast_weight > 0.0
        if self._limit is not None or risky:
            nothing = torch.zeros_like(self.judge.surprises)
            self._realised = make_unroll(learner, market, nothing, self.engine)
        self._starts = torch.from_numpy(market.log.starts(config.bars))
        self._heads = market.log.series[:, 0]
        self._generator = torch.Generator().manual_seed(seed)
        self._parameters = list(learner.actor.parameters())
        with without_dynamo():
            self._optimizer = PlainAdam(self._parameters, lr=config.learning_rate, fused=True)
        fields = market.random_state(self._starts[:1].to(self._device), torch.Generator())
        rows = len(market.log.gains)
        self._memory = np.zeros((rows + 1, len(fields)))
        self._met = np.zeros(rows + 1, dtype=np.bool_)
        self._sums: dict[str, float] = {}
        self._count = 0

    def update(self, rate: float) -> None:
        """One gradient step with the share ``rate`` of the learning rate."""
        config = self._config
        batch = self._batch()
        done = self._unroll(batch)
        limit = self._limit
        realised = None if self._realised is None else self._realised(batch).climbed
        value = objective(done.climbed, config, self.judge.scale, realised)
        loss = -value + config.clone_weight * done.distance
        limited: dict[str, Tensor] = {}
        if limit is not None and realised is not None:
            excess = limit.excess(realised)
            loss = loss + limit.penalty(excess)
            limited = {"excess": excess, "price": torch.tensor(limit.price)}
            limit.move(float(excess.detach()))
        with without_dynamo():
            self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, config.clip)
        self._descend(config.learning_rate * rate)
        self._remember(batch, done)
        self._note(objective=value, reward=done.rewards.mean(), gradient_norm=norm, **limited)

    def _descend(self, rate: float) -> None:
        if self._config.weight_decay > 0:
            with torch.no_grad():
                for parameter in self._parameters:
                    if parameter.grad is not None and parameter.ndim > 1:
                        parameter.mul_(1.0 - rate * self._config.weight_decay)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()

    def _batch(self) -> Batch:
        config, generator = self._config, self._generator
        first = drawn_starts(self._starts, config.windows, generator).to(self._device)
        state = self._market.random_state(first, generator)
        own = torch.rand(config.windows, generator=generator) < config.own_starts
        places = first.cpu().numpy()
        known = (own & torch.from_numpy(self._met[places])).to(self._device)
        kept = torch.from_numpy(self._memory[places]).to(self._device)
        state = tuple(torch.where(known, kept[:, i], x) for i, x in enumerate(state))
        rows = first + torch.arange(config.bars, device=self._device)[:, None]
        noise = None
        if config.feature_noise > 0:
            shape = (config.bars, config.windows, self._market.log.features.shape[1])
            drawn = torch.randn(shape, generator=generator)
            noise = (config.feature_noise * drawn).to(self._device)
        return Batch(rows, state, noise)

    def _remember(self, batch: Batch, done: Unrolled) -> None:
        """Keep the portfolios that the policy had at the decisions it came to."""
        # a row in several windows takes the last of them: numpy's order, the same in every run
        rows = (batch.rows + 1).reshape(-1).cpu().numpy()
        self._memory[rows] = done.states.reshape(len(rows), -1).cpu().numpy()
        self._met[rows] = done.alive.reshape(-1).cpu().numpy()
        self._met[self._heads] = False  # the row before it belongs to another series

    def measures(self) -> dict[str, float]:
        """Means since the last call."""
        count, sums = max(self._count, 1), self._sums
        self._sums, self._count = {}, 0
        return {f"direct/{name}": total / count for name, total in sums.items()}

    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())
        self._count += 1

    def take_moments_from(self, other: DirectTraining) -> None:
        """Go on with the optimizer of another training of the same actor."""
        self._optimizer = other._optimizer

    @without_dynamo()
    def load_moments(self, state: Mapping[str, Any]) -> None:
        """Those of ``state_dict()["optimizer"]``."""
        _d3rlpy.load_moments(self._optimizer, state)

    def policy(self) -> Policy:
        """The learner's, settled."""
        return self._learner.policy()

    def snapshot(self) -> dict[str, Any]:
        """The learner's, settled, and the policy of the forecast if there is one."""
        trained = None if self._through is None else self._trained.snapshot()
        return {"learner": self._learner.snapshot(), "trained": trained}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        if self._through is not None:
            self._trained.restore(snapshot["trained"])
        self._learner.restore(snapshot["learner"])

    def settle(self) -> None:
        """Make all that depends on the trained weights follow them."""
        if self._through is not None:
            self._through.write()
        _transfer.sync_target_actor(self._learner.algo)
        self._learner.engine.reload()

    @without_dynamo()
    def state_dict(self) -> dict[str, Any]:
        """What the next update reads beside the learner and the data."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "memory": torch.from_numpy(self._memory.copy()),
            "met": torch.from_numpy(self._met.copy()),
            "sums": dict(self._sums),
            "count": self._count,
            "price": None if self._limit is None else self._limit.price,
            "trained": None if self._through is None else self._trained.state_dict(),
        }

    @without_dynamo()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        if self._through is not None:
            self._trained.load_state_dict(state["trained"])
        self.load_moments(state["optimizer"])
        self._generator.set_state(state["generator"])
        self._memory[:] = state["memory"].numpy()
        self._met[:] = state["met"].numpy()
        self._sums = dict(state["sums"])
        self._count = int(state["count"])
        if self._limit is not None:
            self._limit.price = float(state["price"])
