"""Fine-tuning by the gradient through the portfolio, as an agent of the online loop.

The lanes act with the deterministic policy: what they do is counted, examined, watched for a
collapse and kept or given up as any agent's. What is learned from is not their steps but the
markets that they trade, unrolled in windows as in the direct stage. When the markets are drawn
anew the agent goes on with its moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from offline_trader.learning.agents import AroundLearner, Learner
from offline_trader.learning.data import Batch
from offline_trader.learning.settings import DirectAgentConfig
from offline_trader.learning.stages.direct.bars import BarMarket
from offline_trader.learning.stages.direct.training import DirectTraining
from offline_trader.simulator import Simulator
from offline_trader.types import Observations

__all__ = ["DirectAgent"]


class DirectAgent(AroundLearner):
    """Trains a learner's actor on the markets of lanes; see the module.

    An update takes the lanes' simulators in turn, each as often as it has lanes. Sampled batches
    are passed over, so the loop needs no offline data.

    Args:
        learner: its actor is trained in place; the critics stay as they are.
        simulators: gives the simulators that are traded now.
        config: of windows, objective and control variate.
        seed: of windows, exploring starts and noise.
    """

    def __init__(
        self,
        learner: Learner,
        simulators: Callable[[], Sequence[Simulator]],
        config: DirectAgentConfig,
        seed: int,
    ) -> None:
        super().__init__(learner)
        self._settings, self._seed = config, seed
        self._simulators = simulators
        self._trainings: list[tuple[Simulator, DirectTraining]] = []
        self._saved: Mapping[str, Any] | None = None
        self._updates, self._rate, self._drawn = 0, 1.0, 0

    def policy(self) -> Learner:
        """The learner."""
        self._settle()
        return self.learner

    def sample(self, observations: Observations, generator: torch.Generator) -> Any:
        """Deterministic actions: what is learned from needs no exploration in the lanes."""
        if self._saved is not None:
            self._meet()  # the markets of the checkpoint, which this step may be the last in
        return self.learner.act(observations)

    def set_pace(self, target_entropy: float, rate: float) -> None:
        """Learn with the share ``rate`` of the learning rate; there is no entropy to aim at."""
        self._rate = rate

    def update(self, batches: Iterable[Batch], *, train_actor: bool = True) -> None:
        """A gradient step a batch; none without ``train_actor``, for there are no critics."""
        if not train_actor:
            return
        self._meet()
        for _ in batches:
            self._turn().update(self._rate)
            self._updates += 1

    def _turn(self) -> DirectTraining:
        """Whose turn it is: the simulator that lane ``updates`` modulo N belongs to."""
        lanes = np.cumsum([simulator.n_lanes for simulator, _ in self._trainings])
        place = np.searchsorted(lanes, self._updates % int(lanes[-1]), side="right")
        return self._trainings[int(place)][1]

    def _meet(self) -> None:
        """Make trainings on the markets that are traded now, where they are not there."""
        now = list(self._simulators())
        if [simulator for simulator, _ in self._trainings] == now:
            return
        saved, self._saved = self._saved, None
        before = self._trainings[0][1] if self._trainings else None
        self._trainings = []
        for place, simulator in enumerate(now):
            seed = np.random.SeedSequence([self._seed, self._drawn, place]).generate_state(1)
            market = BarMarket(simulator.market, simulator.config, self.config.device)
            longest = int((simulator.market.stop - simulator.market.start).max()) - 1
            settings = replace(self._settings, bars=min(self._settings.bars, longest))
            training = DirectTraining(self.learner, market, settings, int(seed[0]))
            if before is not None:
                training.take_moments_from(before)
            before = training
            self._trainings.append((simulator, training))
        self._drawn += 1
        if saved is None:
            return
        if saved["moments"] is not None:
            self._trainings[0][1].load_moments(saved["moments"])
        for (_, training), state in zip(self._trainings, saved["trainings"], strict=False):
            training.load_state_dict(state)

    def metrics(self) -> Mapping[str, float]:
        """Means over the simulators since the last call, or since the markets were drawn."""
        found = [training.measures() for _, training in self._trainings]
        names = sorted({name for each in found for name in each})
        return {
            name.rpartition("/")[2]: float(np.mean([each[name] for each in found if name in each]))
            for name in names
        }

    def _settle(self) -> None:
        """Make all that depends on the trained weights follow them."""
        for _, training in self._trainings[:1]:
            training.settle()

    def snapshot(self) -> dict[str, Any]:
        """The learner's."""
        self._settle()
        return super().snapshot()

    def state_dict(self) -> dict[str, Any]:
        """The learner's, and where the trainings stand.

        Of markets that are traded no more only the moments count.
        """
        self._settle()
        current = [simulator for simulator, _ in self._trainings] == list(self._simulators())
        states = [training.state_dict() for _, training in self._trainings]
        return {
            "learner": self.learner.state_dict(),
            "counts": [self._updates, self._drawn - int(current), self._rate],
            "moments": states[0]["optimizer"] if states and not current else None,
            "trainings": states if current else [],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`; the trainings follow when their markets are there."""
        self.learner.load_state_dict(state["learner"])
        self._updates, self._drawn, self._rate = state["counts"]
        self._trainings, self._saved = [], state
