"""SAC with turns of an evolution strategy in between, as an agent of the online loop.

SAC is the learner's own: it acts, samples and updates as always. Every so many updates an evolution
strategy takes the actor's weights for a turn of generations on the market that the lanes trade.
Policies are compared on the same windows from the same portfolios, by the 95 % interval of the
difference. Where SAC's is worse than the one that the last turn ended with, the turn begins with
that one; where the generations made a better one, it is accepted. Whenever SAC is handed another
policy than its own all moments are forgotten, as they belong to the other, and the critics alone
are updated for a while, on steps that the new policy takes in the lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from offline_trader.learning.agents import AroundLearner, Learner
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.data import Batch
from offline_trader.learning.settings import HybridAgentConfig
from offline_trader.learning.stages.direct import DirectMarket
from offline_trader.learning.stages.evolution.training import EvolutionTraining
from offline_trader.learning.stages.evolution.trials import Trials
from offline_trader.types import FloatArray

__all__ = ["HybridAgent"]


class HybridAgent(AroundLearner):
    """See the module.

    Args:
        learner: SAC, or another that learns online; trained in place.
        markets: gives the markets that are traded now; they take turns.
        config: of the turns.
        seed: of windows, starts and members.
        trials: workers that try the members; None: this process does.
    """

    def __init__(
        self,
        learner: Learner,
        markets: Callable[[], Sequence[DirectMarket]],
        config: HybridAgentConfig,
        seed: int,
        trials: Trials | None = None,
    ) -> None:
        super().__init__(learner)
        self._settings, self._seed = config, seed
        self._markets, self._trials = markets, trials
        self._updates, self._alone = 0, 0
        self._turns, self._accepted, self._returned, self._gained = 0, 0, 0, 0.0
        self._kept: FloatArray | None = None

    def update(self, batches: Iterable[Batch], *, train_actor: bool = True) -> None:
        """The learner's updates, and a turn of evolution where one is due behind them."""
        begun = self._updates
        alone = self._alone > 0
        self.learner.update(self._counted(batches), train_actor=train_actor and not alone)
        done = self._updates - begun
        self._alone = max(0, self._alone - done)
        every = self._settings.every
        if not train_actor:  # the loop's own beginning, when critics learn the warm policy
            self._updates = begun
        elif begun // every < self._updates // every:
            self._evolve()

    def _counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self._updates += 1
            yield batch

    def _evolve(self) -> None:
        """One turn."""
        learner, config = self.learner, self._settings
        learner.engine.flush()
        markets = self._markets()
        market = markets[self._turns % len(markets)].to(learner.config.device)
        drawn = np.random.SeedSequence([self._seed, self._turns]).generate_state(1)
        training = EvolutionTraining(learner, market, config, int(drawn[0]), self._trials)
        start = training.strategy.centre.copy()
        lost = self._kept is not None and self._worse(training, self._kept)
        if lost:
            start = np.asarray(self._kept)
            training.restart(start)
        for _ in range(config.generations):
            training.update()
        self._gained, low, _ = training.gained(start, config.trial_windows)
        if low <= 0.0:
            training.restart(start)
        if lost or low > 0.0:
            training.settle()
            _transfer.reset_optimizers(learner.algo)
            learner.engine.reload()
            self._alone = config.critic_updates
        self._turns += 1
        self._accepted += int(low > 0.0)
        self._returned += int(lost)
        self._kept = training.strategy.centre.copy()

    def _worse(self, training: EvolutionTraining, kept: FloatArray) -> bool:
        """Whether the policy of now is worse than the one that the last turn ended with."""
        return training.gained(kept, self._settings.trial_windows)[2] < 0.0

    def metrics(self) -> Mapping[str, float]:
        """The learner's losses; turns so far, those accepted, those that went back behind SAC's
        updates, and what the last one gained in the objective a bar; workers lost, if any were."""
        lost = 0 if self._trials is None else self._trials.replaced
        return {
            **self.learner.metrics(),
            "evolution_turns": float(self._turns),
            "evolution_accepted": float(self._accepted),
            "evolution_returned": float(self._returned),
            "evolution_gain": self._gained,
            **({"evolution_replaced": float(lost)} if lost else {}),
        }

    def state_dict(self) -> dict[str, Any]:
        """The learner's, and where the turns stand; between turns evolution has no other state."""
        counts = [self._updates, self._alone, self._turns, self._accepted, self._returned]
        kept = None if self._kept is None else torch.from_numpy(self._kept.copy())
        return {
            "learner": self.learner.state_dict(),
            "counts": counts,
            "gained": self._gained,
            "kept": kept,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.learner.load_state_dict(state["learner"])
        self._updates, self._alone, self._turns, self._accepted, self._returned = state["counts"]
        self._gained = state["gained"]
        self._kept = None if state["kept"] is None else state["kept"].numpy().copy()
