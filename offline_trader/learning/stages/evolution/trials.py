"""Who tries a generation: this process, or the pool's workers, a block of members each.

A block has its members whoever tries it and however many there are, and a worker draws their noise
itself from their numbers. Scores go to their members' places before anything is summed, so the
number of workers and where they are change no bit.
"""

from __future__ import annotations

import pickle
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.learning.settings import DirectConfig
from offline_trader.learning.stages.direct import Batch, objective
from offline_trader.learning.stages.evolution.population import Population
from offline_trader.learning.stages.evolution.strategy import Question
from offline_trader.types import FloatArray
from offline_trader.workers import Pool, Report, Workers

__all__ = ["Ground", "Trials", "require_cpu", "shared_trials"]


@dataclass(frozen=True, eq=False)
class Ground:
    """What a score depends on beside the policy and the windows.

    Attributes:
        population: scores vectors of weights.
        judging: the objective.
        scale: of the rewards.
    """

    population: Population
    judging: DirectConfig
    scale: float

    def score(self, climbed: Tensor, realised: Tensor) -> float:
        """The objective of what is climbed [T, B]; its risk is that of the realised rewards."""
        return float(objective(climbed, self.judging, self.scale, realised))

    def scores(self, members: NDArray[np.float32], batch: Batch) -> FloatArray:
        """[P] of ``members`` [P, D]."""
        return self.population.scores(members, batch, self.score)


_HERE: dict[str, Ground] = {}
"""This process's ground of the training that it works for."""


@dataclass(frozen=True, eq=False)
class _Trial:
    """A block of members as a job of the pool.

    Attributes:
        training: names the ground.
        question: the generation.
        numbers: of the members.
        batch: pickled: a tensor that is sent by itself is one of this machine's memory.
        threads: of this process, which sums of torch may depend on.
        ground: pickled; None for a worker that has it.
    """

    training: str
    question: Question
    numbers: range
    batch: bytes
    threads: int
    ground: bytes | None = None

    def __call__(self, report: Report, /) -> FloatArray | None:
        """Their scores; None without the ground."""
        if self.training not in _HERE:
            if self.ground is None:
                return None
            _HERE.clear()
            _HERE[self.training] = pickle.loads(self.ground)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        members = self.question.members(self.numbers)
        return _HERE[self.training].scores(members, pickle.loads(self.batch))


class Trials:
    """Workers that try members, of one training after another.

    A worker that is killed, or lost with its machine, is replaced, and its block is tried again.
    """

    def __init__(self, pool: Pool[_Trial]) -> None:
        self._pool = pool

    @property
    def replaced(self) -> int:
        """Workers that were lost so far."""
        return self._pool.losses

    def on(self, ground: Ground) -> TrialsOn:
        """On the ground of a training, of which nothing was tried yet."""
        block = ground.population.block
        return TrialsOn(self._pool, uuid.uuid4().hex, pickle.dumps(ground), block)


@dataclass(frozen=True, eq=False)
class TrialsOn:
    """:class:`Trials` of one training.

    Attributes:
        pool: of workers.
        name: of the training.
        ground: pickled. Workers that have not got it say so and are given it.
        block: members of a job.
    """

    pool: Pool[_Trial]
    name: str
    ground: bytes
    block: int

    def scores(self, question: Question, batch: Batch) -> FloatArray:
        """[P] of all members.

        Raises:
            OfflineTraderError: a block was lost again and again with the worker that tried it.
        """
        threads, windows = torch.get_num_threads(), pickle.dumps(batch)
        waiting = deque(
            _Trial(self.name, question, numbers, windows, threads)
            for numbers in _blocks(question.population, self.block)
        )
        found = np.empty(question.population)

        def done(trial: _Trial, scores: FloatArray | None) -> None:
            if scores is None:
                waiting.appendleft(replace(trial, ground=self.ground))  # its worker asks next
            else:
                found[trial.numbers.start : trial.numbers.stop] = scores

        self.pool.run(lambda: waiting.popleft() if waiting else None, on_done=done)
        return found


def _blocks(members: int, size: int) -> Iterator[range]:
    return (range(n, min(n + size, members)) for n in range(0, members, size))


@contextmanager
def shared_trials(workers: Workers, device: str = "cpu") -> Iterator[Trials | None]:
    """The workers for the length of the block; None where one is asked for: this process.

    Args:
        workers: so many processes, or a cluster.
        device: that policies are tried on.

    Raises:
        ConfigError: several workers on another device than the CPU, or a cluster that cannot be
            reached.
    """
    if workers == 1:
        yield None
        return
    require_cpu(workers, device)
    cores = torch.get_num_threads()
    with Pool[_Trial](workers, (__name__,), one_thread=True, cores=cores, replace=True) as pool:
        yield Trials(pool)


def require_cpu(workers: Workers, device: str) -> None:
    """Nothing if ``workers`` can try policies on ``device``.

    Raises:
        ConfigError: there are several, and it is not the CPU.
    """
    if workers != 1 and device != "cpu":
        raise ConfigError(
            f"--workers {workers} with learner.device={device}",
            expected="cpu, or 1: on a GPU all policies of a generation go through a bar together",
        )
