"""Where trajectories come from: one actor in this process, or several that do not wait."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from offline_trader.learning.data import Preprocessing
from offline_trader.learning.settings import ImpalaConfig
from offline_trader.learning.stages.impala.acting import (
    Actor,
    ActorWeights,
    MakeLanes,
    Rollout,
    Trajectory,
)
from offline_trader.workers import Pool, Workers

__all__ = ["Crowd", "Source", "gathered"]


@dataclass
class Source:
    """What the actors need: how lanes are made, and the policy of now.

    Attributes:
        make, scales, config, seed: of lanes and rollouts.
        weights: gives the acting policy; called whenever a rollout begins, from any thread.
    """

    make: MakeLanes
    scales: Preprocessing
    config: ImpalaConfig
    seed: int
    weights: Callable[[], ActorWeights]


class Crowd(Protocol):
    """Gives trajectories, one after another.

    Attributes:
        actors: how many.
        waited: seconds that the learner waited for them.
        replaced: actors that were lost and replaced.
    """

    actors: int
    waited: float

    @property
    def replaced(self) -> int: ...

    def next(self) -> Trajectory:
        """One more."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What the next trajectory depends on; of actors in other processes nothing."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        ...


@contextmanager
def gathered(source: Source, workers: Workers) -> Iterator[Crowd]:
    """The actors for the length of the block.

    Args:
        source: what they need.
        workers: 1: one actor, in this process and in step with the learner; otherwise as many
            processes, or a Ray cluster's.
    """
    if workers == 1:
        yield _InStep(source)
        return
    with Pool[Rollout](workers, one_thread=True, replace=True) as pool:
        crowd = _Free(source, pool)
        crowd.thread.start()
        try:
            yield crowd
        finally:
            crowd.stop()


class _InStep:
    """One actor, which waits while the learner learns: the same seed gives the same bytes."""

    def __init__(self, source: Source) -> None:
        self.actors, self.waited, self.replaced = 1, 0.0, 0
        self._source = source
        config = source.config
        self._actor = Actor(source.make, config.lanes, source.seed, source.scales)

    def next(self) -> Trajectory:
        """Acted now."""
        return self._actor.roll(self._source.weights(), self._source.config.rollout)

    def state_dict(self) -> dict[str, Any]:
        """The actor's."""
        return self._actor.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._actor.load_state_dict(state)


@dataclass
class _Free:
    """Workers of the pool; a thread of this process hands out rollouts and takes trajectories in.

    A worker begins its next rollout as soon as it is done, with the policy of that moment. When
    ``config.waiting`` trajectories wait, the thread does, and the workers with it.
    """

    source: Source
    pool: Pool[Rollout]
    waited: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _given: int = 0

    def __post_init__(self) -> None:
        self.actors = self.pool.workers
        self._training = uuid.uuid4().hex
        self._ready: queue.Queue[Trajectory | BaseException] = queue.Queue(
            self.source.config.waiting
        )
        self.thread = threading.Thread(target=self._work, daemon=True)

    @property
    def replaced(self) -> int:
        """As the pool counts them."""
        return self.pool.losses

    def next(self) -> Trajectory:
        """The one that waits longest.

        Raises:
            OfflineTraderError: an actor's own error.
        """
        begun = time.perf_counter()
        found = self._ready.get()
        self.waited += time.perf_counter() - begun
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """Let the rollouts that run come to their end, and begin no more."""
        self._stopped.set()
        self.pool.stop()
        self.thread.join()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: actors of a resumed training begin new episodes."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def _work(self) -> None:
        try:
            self.pool.run(self._rollout, on_done=lambda _, found: self._put(found))
        except BaseException as error:
            self._put(error)

    def _rollout(self) -> Rollout | None:
        if self._stopped.is_set():
            return None
        source, config = self.source, self.source.config
        self._given += 1
        seed = np.random.SeedSequence((source.seed, self._given)).generate_state(1)
        return Rollout(
            self._training, source.make, config.lanes, source.scales, int(seed[0]),
            source.weights(), config.rollout,
        )  # fmt: skip

    def _put(self, found: Trajectory | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                self._ready.put(found, timeout=0.1)
                return
            except queue.Full:
                continue
