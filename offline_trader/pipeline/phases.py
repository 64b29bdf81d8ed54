"""The phases of a training run: checkpoints of each, and where a resumed run goes on."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from offline_trader.codec import from_json
from offline_trader.config import to_dict
from offline_trader.errors import DataError
from offline_trader.hashing import file_sha256
from offline_trader.pipeline.live_figures import LiveFigures
from offline_trader.pipeline.progress import Advance, Progress
from offline_trader.pipeline.run_facts import CloneFacts, StageFacts, StageRow
from offline_trader.pipeline.trained_runs import POLICY_FILE
from offline_trader.runs import Run, atomic_write

if TYPE_CHECKING:
    from offline_trader.learning.agents import Agent
    from offline_trader.learning.engines import EngineFacts
    from offline_trader.learning.stages import StageData
    from offline_trader.learning.stages.results import Evaluate

__all__ = ["Phases", "PlannedStage", "maths_threads"]


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a run.

    Attributes:
        name: in the registry of stages, and of the phase.
        title: of its progress bar.
        config: its settings.
        data: makes what it trains on, when it is its turn.
        seed: of its draws.
        evaluate: validates a policy; None: the stage keeps its last.
    """

    name: str
    title: str
    config: Any
    data: Callable[[], StageData]
    seed: int
    evaluate: Evaluate | None = None


@contextmanager
def maths_threads(count: int) -> Iterator[None]:
    """Inside, torch and the linear algebra of numpy and scipy compute with ``count`` threads: with
    others they add in another order, and a forecast or a volatility has other last digits."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


class Phases:
    """Named phases, one after another, over the steps of one run.

    Steps of the run count on from phase to phase, so that metrics and checkpoints are in order.
    A checkpoint holds the state of the phase it was made in and the facts of those before.
    """

    def __init__(self, run: Run, names: tuple[str, ...]) -> None:
        self._run = run
        self._names = names
        self._offset = 0
        self._current, self._state = "", None
        self.facts: dict[str, Any] = {}
        latest = run.latest_checkpoint()
        if latest is not None:
            payload = self._read(latest[1])
            self._current, self._state = payload["phase"], payload["state"]
            self.facts = payload["facts"]

    def state_engine(self, engine: EngineFacts, progress: Progress) -> None:
        """Say and log that another engine works than was asked for, if so."""
        if engine.fallback is None:
            return
        progress.note(f"engine: {engine.fallback}")
        if not self._current:  # a resumed run has the row
            self._run.log(0, {"engine": engine.fallback})

    def train(self, agent: Agent, stage: PlannedStage, progress: Progress) -> None:
        """Let the stage train ``agent``, from where it was interrupted if it was.

        Metrics and checkpoints of the next stage count on after its steps.
        One that lies wholly before the checkpoint that the run goes on from is passed over.
        """
        from offline_trader.learning.stages import STAGES

        name = stage.name
        training = STAGES[name](stage.config)
        steps = training.steps
        if self.finished(name):
            self._offset += steps
            return
        with progress.task(stage.title, steps) as advance:
            result = training.fit(
                agent,
                replace(stage.data(), keep=self._keep),
                self.log(advance, progress),
                stage.evaluate,
                self.checkpoint(name),
                seed=stage.seed,
                resume=self.resume(name),
            )
        self.facts = {**self.facts, name: to_dict(result)}
        self._offset += steps

    def _keep(self, name: str, content: bytes) -> None:
        """Write a file of the run, whole or not at all."""
        atomic_write(self._run.path / name, content)

    def finished(self, name: str) -> bool:
        """Whether a phase lies wholly before the checkpoint that the run goes on from."""
        if not self._current:
            return False
        return self._names.index(name) < self._names.index(self._current)

    def resume(self, name: str) -> Mapping[str, Any] | None:
        """The state to go on from within ``name``, or None: from its beginning."""
        return self._state if name == self._current else None

    def checkpoint(self, name: str) -> Callable[[int, dict[str, Any]], None]:
        """Saves (step of the phase, state) as the run's newest checkpoint."""
        offset = self._offset

        def save(step: int, state: dict[str, Any]) -> None:
            payload = {"phase": name, "state": state, "facts": self.facts}
            buffer = io.BytesIO()  # a path's name would get into the bytes
            torch.save(_canonical(payload), buffer)

            def write(path: Path) -> None:
                path.write_bytes(buffer.getvalue())

            self._run.save_checkpoint(offset + step, write)

        return save

    def log(self, advance: Advance, progress: Progress) -> Callable[[int, Mapping[str, Any]], None]:
        """Logs (step of the phase, values), says texts, and moves the progress bar there."""
        offset, live = self._offset, LiveFigures()

        def write(step: int, values: Mapping[str, Any]) -> None:
            self._run.log(offset + step, values)
            for name, value in values.items():
                if isinstance(value, str):
                    progress.note(f"{name}: {value}")
            advance(step, None, live.text(step, values))

        return write

    def stated(self, *, validated: bool) -> dict[str, Any]:
        """The phases' facts as :class:`TrainingFacts` takes them.

        Args:
            validated: whether scores are those of a validation range.
        """
        kinds: dict[str, Any] = {"clone": CloneFacts, "direct": StageFacts}
        kinds |= {"offline": StageFacts, "online": StageFacts}
        trees = {name: self.facts[name] for name in self._names if name in self.facts}
        known = {k: from_json(kinds[k], tree, k) for k, tree in trees.items() if k in kinds}
        further = {name: tree for name, tree in trees.items() if name not in kinds}
        return {**known, "further": further, "history": _history(trees, validated=validated)}

    def save_policy(self, save: Callable[[Path], None]) -> str:
        """Write the trained policy beside the checkpoints, whole or not at all; its hash."""
        temporary = self._run.path / ".policy.tmp.d3"
        target = self._run.path / POLICY_FILE
        try:
            save(temporary)
            atomic_write(target, temporary.read_bytes())
        finally:
            temporary.unlink(missing_ok=True)
        return file_sha256(target)

    def save_state(self, name: str, state: Mapping[str, Any]) -> str:
        """Write tensors, numbers and texts as a file of the run, whole or not at all; its hash."""
        buffer = io.BytesIO()
        torch.save(_canonical(state), buffer)
        self._keep(name, buffer.getvalue())
        return file_sha256(self._run.path / name)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            payload: dict[str, Any] = torch.load(path, weights_only=True)
        except Exception as error:  # torch raises what the bytes suggest
            raise DataError(
                f"checkpoint {path} cannot be read: {error}",
                hint="delete it; the run then goes on from the one before",
            ) from error
        if payload.get("phase") not in self._names:
            raise DataError(
                f"checkpoint {path} is of phase {payload.get('phase')!r}",
                expected=f"one of {', '.join(self._names)}",
            )
        return payload


def _history(trees: Mapping[str, Any], *, validated: bool) -> tuple[StageRow, ...]:
    """What each stage added. A stage that validates nothing, as cloning, has the score that the
    next one found at its beginning."""
    rows: list[StageRow] = []
    following = None
    for name, tree in reversed(list(trees.items())):
        score = tree.get("kept_score", following) if validated else None
        rows.append(
            StageRow(
                stage=name,
                updates=tree["updates"],
                validation_sharpe=score,
                kept=tree.get("kept", ""),
                reason=tree.get("reason", ""),
                difference=tree.get("difference") if validated else None,
                interval=tree.get("interval") if validated else None,
                told=tuple(tree.get("told", ())),
            )
        )
        following = tree.get("warm_score", score)
    return tuple(reversed(rows))


def _canonical(value: Any) -> Any:
    """``value`` in the one form whose pickle depends on nothing but what is in it.

    A pickle also tells which of its parts are one object, and a tensor is stored with all the
    memory that it is a part of. Both differ between a run that computed its state and one that
    read it from a checkpoint, so texts are interned, containers and tensors are copied.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(value, str):
        return sys.intern(str(value))
    if isinstance(value, Mapping):
        return {_canonical(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_canonical(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
