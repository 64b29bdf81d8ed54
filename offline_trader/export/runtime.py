"""Runs an exported policy with onnxruntime alone: no torch, one thread, bad input is an error.

A plain ``session.run`` serves: for one observation and two layers of 64 units it takes 8 µs,
binding preallocated inputs saves about 2 of them, and checking the input costs 2
(``benchmarks/latency.py``).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.export.model_file import ModelFile, read_model
from offline_trader.goals import Horizons
from offline_trader.interrupts import RUNNING
from offline_trader.types import ObservationLayout

__all__ = ["ModelSession", "OnnxPolicy"]

# What a trader's process does is nobody else's to know. The library keeps an id of the machine and
# tells of the process while it is imported, unless it is told not to before; what is said of
# sessions and models later is what the call is about.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

onnxruntime.disable_telemetry_events()

_OUTPUTS = ["action"]
_LOWEST, _HIGHEST = np.float32(-1.0), np.float32(1.0)
_PROBES = 3
_EXPORT = "export the policy with `offline-trader export`"


class OnnxPolicy:
    """Deterministic policy of an ONNX file written by :func:`~offline_trader.export.export_onnx`.

    Its bytes are compared with the hash that it states, and with that of a manifest beside it.
    Then it has to decide on a few observations: one finite action for each, the same the second
    time, and the same for a row alone.

    Args:
        path: the ``.onnx`` file, or what was read from it.
        expected_layout: when given, the layout that the caller's observations have.
        unverified: accept a file that states no hash and has no manifest.
        goal: what a policy that takes a goal aims at; None: the default that it states.
        preference: [K] weights of a policy that takes some; None: the default that it states.

    Raises:
        ConfigError: a goal or preference for a policy that takes none, or one that cannot be; or a
            policy that keeps a state, which :func:`~offline_trader.export.open_model` opens.
        DataError: the file is missing, damaged, or no policy of this toolkit.
        SchemaMismatch: the file's layout is not ``expected_layout``; both hashes are named.

    Attributes:
        path: the file.
        file: its content.
        layout: names and order of the observation's columns.
        scaler: ``{"mean": [F + P], "scale": [F + P]}`` as applied inside the graph.
        metadata: the facts that the export stored.
        task: the goal that it takes; None: none.
        goal: what it aims at: ``goal``, or the default that the file states.
        keeps_state: whether its decisions depend on those before.
        preference: the objectives that it takes weights of, with those of now; None: none.
    """

    keeps_state = False

    def __init__(
        self,
        path: Path | str | ModelFile,
        *,
        expected_layout: ObservationLayout | None = None,
        unverified: bool = False,
        goal: float | None = None,
        preference: Sequence[float] | None = None,
    ) -> None:
        file = read_model(path, unverified=unverified)
        self.file, self.path = file, file.path
        self.layout, self.scaler, self.metadata = file.layout, file.scaler, file.metadata
        self.task = file.task
        if file.options is not None and not self.keeps_state:
            raise ConfigError(
                f"{self.path.name} chooses among options: it keeps a state from bar to bar",
                expected="a policy that decides by the observation alone",
                hint="open_model, a session and the server carry the state",
            )
        if goal is not None and self.task is None:
            raise ConfigError(f"a goal of {goal:g} for {self.path.name}", expected="no goal")
        self.goal = 0.0 if self.task is None else self.task.default
        if goal is not None and self.task is not None:
            self.goal = self.task.require(goal)
        self.preference = file.preference
        if preference is not None:
            if self.preference is None:
                raise ConfigError(f"a preference for {self.path.name}", expected="no preference")
            self.preference = self.preference.asking(preference)
        self._width = self.layout.size
        self._further = tuple(file.further.values())
        self._session = ModelSession(file.payload, str(self.path))
        self._run = self._session.run
        self._require_signature()
        self._require_decisions()
        if expected_layout is not None:
            self.require_layout(expected_layout)

    def _require_signature(self) -> None:
        """Refuse a graph of other inputs or outputs."""
        widths = {"observation": self._width, **self.file.further}
        self._session.require_signature(widths, {"action": 1})

    @property
    def layout_hash(self) -> str:
        """Hash of :attr:`layout`."""
        return self.layout.hash

    def require_layout(self, layout: ObservationLayout, owner: str = "the data") -> None:
        """Raises SchemaMismatch, naming both hashes and the first difference, unless equal."""
        if layout.hash == self.layout.hash:
            return
        pairs = zip(self.layout.names, layout.names, strict=False)
        difference = next(
            (
                f"column {i} is {a!r} there and {b!r} here"
                for i, (a, b) in enumerate(pairs)
                if a != b
            ),
            f"{self.layout.size} columns there, {layout.size} here"
            if self.layout.size != layout.size
            else "same names, other feature parameters",
        )
        raise SchemaMismatch(
            f"{self.path.name} expects observation layout {self.layout.hash[:12]}, "
            f"{owner} has {layout.hash[:12]} ({difference})",
            expected="one layout from the dataset to the model",
            hint=self._changed_code()
            or "use the features the model was trained with, or train it again",
        )

    def _changed_code(self) -> str:
        """What to do where the model was trained on other code of the user's own features."""
        stated = self.metadata.get("own_features")
        if not isinstance(stated, list) or not stated:
            return ""
        from offline_trader.features import changed_code

        kept = [each for each in stated if isinstance(each, Mapping)]
        return changed_code((str(each.get("name")), str(each.get("sha256"))) for each in kept)

    def __call__(
        self,
        observations: NDArray[np.float32],
        /,
        progress: NDArray[np.float32] | None = None,
        goal: float | NDArray[np.float32] | None = None,
        preference: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Actions [N, 1] float32 in [-1, 1] for raw observations [N, F + P].

        Args:
            observations: market and portfolio.
            progress: of a policy that takes a goal: [N, E] of
                :meth:`offline_trader.goals.Horizons.columns`; None: a horizon's start.
            goal: what it is asked for, one for all or [N]; None: :attr:`goal`.
            preference: of a policy that takes one: [K] or [N, K]; None: :attr:`preference`.

        Raises:
            DataError: wrong width, or a NaN or infinite value; the row and column are named. Or
                the model fails, or answers something else than a finite action a row.
        """
        batch = self._checked(observations)
        feeds = {"observation": batch}
        if self._further:
            feeds |= self.further_feeds(len(batch), progress, goal, preference)
        return self._answer(self._run(_OUTPUTS, feeds)[0], len(batch))

    def _checked(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """The observations as the graph takes them.

        Raises:
            DataError: another width, or a value that is not finite.
        """
        batch = np.ascontiguousarray(observations, dtype=np.float32)
        if batch.ndim != 2 or batch.shape[1] != self._width:
            raise DataError(
                f"observations of shape {batch.shape}",
                expected=f"(N, {self._width}), the columns of layout {self.layout.hash[:12]}",
            )
        # A product of rows takes a fifth of the time; squares that overflow are looked at closely.
        if not math.isfinite(np.vdot(batch, batch)) and not np.isfinite(batch).all():
            self._name_first_bad(batch)
        return batch

    def _answer(self, result: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """The graph's actions for n observations.

        Raises:
            DataError: something else than a finite action a row.
        """
        if result.shape == (1, 1) == (n, 1) and -1.0 <= result[0, 0] <= 1.0:
            return result
        if result.shape != (n, 1):
            raise DataError(
                f"{self.path} answers {n} observations with shape {result.shape}",
                expected=f"({n}, 1): one action a row",
                hint=_EXPORT,
            )
        if not np.isfinite(result).all():
            row = int(np.argmin(np.isfinite(result).all(axis=1)))
            raise DataError(
                f"the model answers row {row} with {result[row].tolist()}",
                expected="a finite action",
                hint="the observation lies far outside the training range",
            )
        # the graph clips its answer, but a file of others need not
        return cast("NDArray[np.float32]", np.minimum(np.maximum(result, _LOWEST), _HIGHEST))

    def preferring(self, weights: Sequence[float]) -> OnnxPolicy:
        """The same model under other weights of the objectives.

        Raises:
            ConfigError: it takes none, or weights that are none.
        """
        return OnnxPolicy(self.file, preference=weights)

    def further_feeds(
        self,
        n: int,
        progress: NDArray[np.float32] | None = None,
        goal: float | NDArray[np.float32] | None = None,
        preference: NDArray[np.float32] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """What the graph takes besides n observations; nothing of a policy that takes neither a
        goal nor a preference.

        Raises:
            DataError: progress, goals or weights of another shape, or not finite.
        """
        if self.preference is not None:
            given = np.array(self.preference.weights if preference is None else preference)
            if given.shape not in ((self._further[0],), (n, self._further[0])):
                raise DataError(
                    f"a preference of shape {given.shape}",
                    expected=f"({self._further[0]},) or ({n}, {self._further[0]})",
                )
            if not np.isfinite(given).all():
                raise DataError("a preference is not finite", expected="finite weights")
            wide = np.empty((n, self._further[0]), np.float32)
            wide[:] = given
            return {"preference": wide}
        if self.task is None:
            return {}
        if progress is None:
            progress = Horizons(self.task, n).columns()
        given = np.ascontiguousarray(progress, np.float32)
        goals = np.empty((n, 1), np.float32)
        goals[:, 0] = self.goal if goal is None else goal
        if given.shape != (n, self._further[0]):
            raise DataError(
                f"progress of shape {given.shape}",
                expected=f"({n}, {self._further[0]}): {', '.join(self.task.progress)}",
            )
        if not (np.isfinite(given).all() and np.isfinite(goals).all()):
            raise DataError("progress or a goal is not finite", expected="finite values")
        return {"progress": given, "goal": goals}

    def wide(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions [N, 1] for rows [N, F + P (+ E + 1 or + K)], of :attr:`scaler`'s columns."""
        if self.preference is not None:
            return self(rows[:, : self._width], preference=rows[:, self._width :])
        if self.task is None:
            return self(rows)
        return self(rows[:, : self._width], rows[:, self._width : -1], rows[:, -1])

    def _name_first_bad(self, batch: NDArray[np.float32]) -> None:
        row, column = (int(i) for i in np.argwhere(~np.isfinite(batch))[0])
        raise DataError(
            f"observation row {row}, column {self.layout.names[column]!r} is {batch[row, column]}",
            expected="finite values; a policy gives no action for an unknown state",
            hint="skip the bars before the features' warm-up, and check the feed",
        )

    def _require_decisions(self) -> None:
        """Refuse a model that is no function of a row: three observations, twice and apart."""
        probes = self._probes()
        first, second = self.wide(probes), self.wide(probes)
        if not np.array_equal(first, second):
            raise DataError(
                f"{self.path} answers the same observations with {first[0, 0]:.6g} and then "
                f"{second[0, 0]:.6g}",
                expected="a deterministic policy",
                hint=_EXPORT,
            )
        alone = np.concatenate([self.wide(probes[i : i + 1]) for i in range(len(probes))])
        if not np.allclose(first, alone, rtol=0.0, atol=1e-3):
            raise DataError(
                f"{self.path} answers a row alone otherwise than among others",
                expected="an action that depends on its own row only",
                hint=_EXPORT,
            )

    def _probes(self) -> NDArray[np.float32]:
        """Observations [3, F + P (+ E + 1)] around the training mean."""
        drawn = np.random.default_rng(0).normal(size=(_PROBES, self._width + sum(self._further)))
        mean, scale = (np.asarray(self.scaler[name]) for name in ("mean", "scale"))
        probes: NDArray[np.float64] = np.clip(mean + drawn * scale, -1e38, 1e38)
        return probes.astype(np.float32)


class ModelSession:
    """An ONNX graph on one CPU thread, whose runs Ctrl-C ends inside
    :func:`~offline_trader.interrupts.stop_on_interrupt`.

    Args:
        payload: the file's bytes.
        name: what messages call it.

    Raises:
        DataError: onnxruntime cannot open it.
    """

    def __init__(self, payload: bytes, name: str) -> None:
        self.name = name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                payload, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises its own unexported exception types
            raise DataError(
                f"{name} cannot be opened: {str(error).splitlines()[0]}",
                expected="an ONNX policy written by `offline-trader export`",
            ) from error
        self._options = onnxruntime.RunOptions()
        self._options.log_severity_level = 4

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Any]) -> list[NDArray[Any]]:
        """The outputs by name.

        Raises:
            DataError: onnxruntime fails on it.
        """
        RUNNING.add(self._options)
        try:
            return cast("list[NDArray[Any]]", self._session.run(outputs, feeds, self._options))
        except Exception as error:  # onnxruntime raises its own unexported exception types
            if self._options.terminate:
                raise KeyboardInterrupt from None
            raise DataError(
                f"{self.name} cannot be computed: {str(error).splitlines()[0]}", hint=_EXPORT
            ) from error
        finally:
            RUNNING.discard(self._options)
            self._options.terminate = False

    def inputs(self) -> list[Any]:
        """What the graph takes: name, type and shape of each."""
        return list(self._session.get_inputs())

    def outputs(self) -> list[Any]:
        """What the graph answers: name, type and shape of each."""
        return list(self._session.get_outputs())

    def require_signature(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        """Refuse a graph whose inputs and outputs are not these, each float32 [N, w] with its
        width w."""
        for kind, wanted in (("input", inputs), ("output", outputs)):
            names, columns = list(wanted), wanted.values()
            found = getattr(self._session, f"get_{kind}s")()
            if [each.name for each in found] != names:
                told = repr(names[0]) if len(names) == 1 else ", ".join(map(repr, names))
                raise DataError(
                    f"{self.name} has {kind}s {[each.name for each in found]}",
                    expected=f"one {kind} named {told}" if len(names) == 1 else told,
                    hint=_EXPORT,
                )
            for each, width in zip(found, columns, strict=True):
                free = len(each.shape) == 2 and not isinstance(each.shape[0], int)
                if each.type != "tensor(float)" or not free or each.shape[1] != width:
                    raise DataError(
                        f"{self.name}: {kind} {each.name!r} is {each.type} of shape {each.shape}",
                        expected=f"tensor(float) of shape [N, {width}], N free",
                        hint=_EXPORT,
                    )
