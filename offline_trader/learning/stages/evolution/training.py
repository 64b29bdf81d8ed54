"""The evolution stage: generations of policies, tried on windows of logged bars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Agent, Learner
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.settings import EvolutionConfig
from offline_trader.learning.stages.direct import Batch, DirectMarket, LogJudge
from offline_trader.learning.stages.direct.compiled import engine_for
from offline_trader.learning.stages.direct.forecast_input import ForecastPolicy
from offline_trader.learning.stages.direct.unrolling import drawn_starts
from offline_trader.learning.stages.divergence import require_finite
from offline_trader.learning.stages.evolution.population import Population
from offline_trader.learning.stages.evolution.strategy import Strategy
from offline_trader.learning.stages.evolution.trials import Ground, Trials, shared_trials
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, TrainResult
from offline_trader.learning.stages.selection import Selection
from offline_trader.learning.stages.stage import StageData, need, need_learner
from offline_trader.types import FloatArray, Policy
from offline_trader.workers import Workers

__all__ = ["EvolutionStage", "EvolutionTraining", "evolve"]


def evolve(
    learner: Learner,
    market: DirectMarket,
    config: EvolutionConfig,
    log: Log | None = None,
    evaluate: Evaluate | None = None,
    checkpoint: Checkpoint | None = None,
    *,
    seed: int = 0,
    workers: Workers = 1,
    resume: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train the learner's actor (its deterministic action) by an evolution strategy.

    All members of a generation meet the same bars from the same portfolios, so that what tells
    them apart is what they do. Critics are untouched, target actors follow. Which policy the
    learner holds at the end is chosen as in the direct stage.

    Args:
        learner: its actor is trained in place.
        market: logged series and the portfolio's dynamics over them.
        config: settings.
        log: gets (generation, measures since the last row) and (generation, validation measures).
        evaluate: validates a policy: a mapping with ``score``, higher is better.
        checkpoint: gets (generation, state) every ``checkpoint_interval``.
        seed: of windows, starts and members.
        workers: 1: members are tried in this process; otherwise by so many processes, or a Ray
            cluster's, to the same bytes.
        resume: such a state: go on from it, to the same bytes as without the interruption.

    Raises:
        ConfigError: observations of another size than the learner's, an actor of other layers
            than linear ones with ReLU, several workers on a GPU, or no such cluster.
        OfflineTraderError: the scores are not finite any more, or workers are lost again and again.
    """
    width = market.log.features.shape[1] + market.portfolio_size
    size = len(learner.preprocessing.mean)
    if width != size:
        raise ConfigError(f"a market whose observations have {width} columns", expected=str(size))
    learner.engine.flush()
    with shared_trials(workers, learner.config.device) as trials:
        training = EvolutionTraining(
            learner, market.to(learner.config.device), config, seed, trials
        )
        return _evolve(learner, training, config, log, evaluate, checkpoint, resume)


def _evolve(
    learner: Learner,
    training: EvolutionTraining,
    config: EvolutionConfig,
    log: Log | None,
    evaluate: Evaluate | None,
    checkpoint: Checkpoint | None,
    resume: Mapping[str, Any] | None,
) -> TrainResult:
    """The generations."""
    if evaluate is None and config.evaluate_interval > 0:
        judge = training.judge

        def evaluate(policy: Policy) -> Mapping[str, float]:
            return judge(policy).measures  # the objective ranks, not the growth

    selection = Selection(evaluate, log, preferred=True)
    if resume is not None:
        learner.load_state_dict(resume["learner"])
        training.load_state_dict(resume["training"])
        selection.load_state_dict(resume["selection"])
    else:
        if log is not None and training.engine.fallback is not None:
            log(0, {"evolution/engine": training.engine.fallback})
        selection.consider(0, learner)
    while (step := training.strategy.generation) < config.generations:
        training.update()
        step += 1
        last = step == config.generations
        if last or step % config.log_interval == 0:
            measures = training.measures()
            require_finite(step, measures)
            if log is not None:
                log(step, measures)
        if last or (config.evaluate_interval > 0 and step % config.evaluate_interval == 0):
            training.settle()
            selection.consider(step, learner)
        if checkpoint is not None and step % config.checkpoint_interval == 0:
            training.settle()
            checkpoint(
                step,
                {
                    "learner": learner.state_dict(),
                    "training": training.state_dict(),
                    "selection": selection.state_dict(),
                },
            )
    training.settle()
    done = training.strategy.generation
    return replace(selection.finish(done, done, learner), engine=training.engine)


class EvolutionTraining:
    """Everything between two generations. Windows and members are drawn from (seed, generation),
    so no generator has a state.

    Args:
        learner: whose actor is trained.
        market: logged series and the portfolio's dynamics.
        config: settings; windows are no longer than the longest series.
        seed: of windows, starts and members.
        trials: workers that try the members; None: this process does.
    """

    def __init__(
        self,
        learner: Learner,
        market: DirectMarket,
        config: EvolutionConfig,
        seed: int,
        trials: Trials | None = None,
    ) -> None:
        lengths = market.log.series[:, 1] - market.log.series[:, 0]
        config = replace(config, bars=min(config.bars, int(lengths.max())))
        self._learner, self._config, self._seed = learner, config, seed
        judging = config.judging()
        self.judge = LogJudge(learner, market, judging)
        self._through = None
        trained = learner
        if self.judge.volatility is not None:
            self._through = ForecastPolicy(
                learner, market, self.judge.forecast, self.judge.volatility, seed
            )
            trained, market = self._through.learner, self._through.market
        self._market = market
        self.engine = engine_for(trained, market, config.engine)
        self._population = Population(trained, market, self.judge.surprises, self.engine)
        self._ground = Ground(self._population, judging, self.judge.scale)
        self._trials = trials
        self._shared = None if trials is None else trials.on(self._ground)
        self.strategy = Strategy(self._population.vector, config, seed)
        self._starts = torch.from_numpy(market.log.starts(config.bars))
        self._sums: dict[str, float] = {}
        self._count = 0

    def update(self) -> None:
        """One generation."""
        members = self.strategy.ask()
        batch = self._batch(self.strategy.generation, self._config.windows)
        if self._shared is None:
            scores = self._ground.scores(members, batch)
        else:
            scores = self._shared.scores(self.strategy.question(), batch)
        slope = self.strategy.tell(scores)
        self._note(
            score=float(scores.mean()), best=float(scores.max()), spread=float(scores.std()),
            slope_norm=slope,
        )  # fmt: skip

    def restart(self, vector: FloatArray) -> None:
        """Begin anew, at ``vector`` [D]."""
        self.strategy = Strategy(vector, self._config, self._seed)

    def gained(self, before: FloatArray, windows: int) -> tuple[float, float, float]:
        """By how much the centre's objective is above that of ``before`` [D] in the same windows,
        from the same portfolios: mean and Student's 95 % interval over √n blocks of neighbours.

        No generation has met these windows' starts.
        """
        members = np.stack([before, self.strategy.centre]).astype(np.float32)
        batch = self._batch(self._config.generations + 1, windows)
        blocks = math.isqrt(windows)

        def each(*windows: Tensor) -> FloatArray:
            parts = zip(*(one.tensor_split(blocks, dim=1) for one in windows), strict=True)
            return np.array([self._ground.score(*part) for part in parts])

        then, now = self._population.scores(members, batch, each)
        mean, spread = float((now - then).mean()), float((now - then).std(ddof=1))
        half = float(stdtrit(blocks - 1, 0.975)) * spread / math.sqrt(blocks)
        return mean, mean - half, mean + half

    def _batch(self, number: int, windows: int) -> Batch:
        """The windows of a generation, with the portfolios that they begin with."""
        drawn = np.random.SeedSequence((self._seed, number)).generate_state(1)
        generator = torch.Generator().manual_seed(int(drawn[0]))
        device, config = self._learner.config.device, self._config
        first = drawn_starts(self._starts, windows, generator).to(device)
        state = self._market.random_state(first, generator)
        return Batch(first + torch.arange(config.bars, device=device)[:, None], state, None)

    def _note(self, **values: float) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def measures(self) -> dict[str, float]:
        """Means since the last call, and the workers that were lost so far, if any were."""
        count, sums = max(self._count, 1), self._sums
        self._sums, self._count = {}, 0
        found = {f"evolution/{name}": total / count for name, total in sums.items()}
        if self._trials is not None and self._trials.replaced:
            found["evolution/replaced"] = float(self._trials.replaced)
        return found

    def settle(self) -> None:
        """Make the learner's actor the policy in the population's centre."""
        self._population.write(self.strategy.centre)
        if self._through is not None:
            self._through.write()
        _transfer.sync_target_actor(self._learner.algo)
        self._learner.engine.reload()

    def state_dict(self) -> dict[str, Any]:
        """What the next generation reads beside the learner and the data."""
        return {
            "strategy": self.strategy.state_dict(),
            "sums": dict(self._sums),
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.strategy.load_state_dict(state["strategy"])
        self._sums, self._count = dict(state["sums"]), int(state["count"])


@dataclass(frozen=True)
class EvolutionStage:
    """:func:`evolve` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[EvolutionConfig]] = EvolutionConfig
    needs: ClassVar[tuple[str, ...]] = ("market",)
    config: EvolutionConfig = field(default_factory=EvolutionConfig)

    @property
    def steps(self) -> int:
        """Generations in all."""
        return self.config.generations

    def fit(
        self,
        agent: Agent,
        data: StageData,
        log: Log | None = None,
        evaluate: Evaluate | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        seed: int = 0,
        resume: Mapping[str, Any] | None = None,
    ) -> TrainResult:
        """Train a d3rlpy learner on ``data.market``, by ``data.workers``."""
        return evolve(
            need_learner(agent, "evolution"),
            need(data, "market", "evolution"),
            self.config,
            log,
            evaluate,
            checkpoint,
            seed=seed,
            workers=data.workers,
            resume=resume,
        )
