"""Runs an exported policy with onnxruntime alone: no torch, one thread, bad input is an error.

A plain ``session.run`` serves: for one observation and two layers of 64 units it takes 8 µs,
binding preallocated inputs saves about 2 of them, and checking the input costs 2
(``benchmarks/latency.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from offline_trader.errors import DataError, SchemaMismatch
from offline_trader.types import ObservationLayout

__all__ = ["OnnxPolicy"]

_OUTPUTS = ["action"]
_LOWEST, _HIGHEST = np.float32(-1.0), np.float32(1.0)


class OnnxPolicy:
    """Deterministic policy of an ONNX file written by :func:`~offline_trader.export.export_onnx`.

    Args:
        path: the ``.onnx`` file.
        expected_layout: when given, the layout that the caller's observations have.

    Raises:
        DataError: the file is missing or is no policy of this toolkit.
        SchemaMismatch: the file's layout is not ``expected_layout``; both hashes are named.

    Attributes:
        path: the file.
        layout: names and order of the observation's columns.
        scaler: ``{"mean": [F + P], "scale": [F + P]}`` as applied inside the graph.
        metadata: the facts that the export stored.
    """

    def __init__(
        self, path: Path | str, *, expected_layout: ObservationLayout | None = None
    ) -> None:
        self.path = Path(path)
        self._session = _open_session(self.path)
        properties = cast("dict[str, str]", self._session.get_modelmeta().custom_metadata_map)
        try:
            self.layout = ObservationLayout.from_dict(
                json.loads(properties["offline_trader.layout"])
            )
            self.scaler: dict[str, list[float]] = json.loads(properties["offline_trader.scaler"])
            self.metadata: dict[str, Any] = json.loads(properties["offline_trader.metadata"])
            stored_hash = properties["offline_trader.layout_hash"]
        except (KeyError, json.JSONDecodeError) as error:
            raise DataError(
                f"{self.path} holds no observation layout ({error})",
                expected="an ONNX file written by `offline-trader export`",
            ) from error
        if stored_hash != self.layout.hash:
            raise SchemaMismatch(
                f"{self.path} states layout hash {stored_hash[:12]} but its columns give "
                f"{self.layout.hash[:12]}",
                hint="the file was changed after its export; export it again",
            )
        self._width = self.layout.size
        self._run = self._session.run
        if expected_layout is not None:
            self.require_layout(expected_layout)

    @property
    def layout_hash(self) -> str:
        """Hash of :attr:`layout`."""
        return self.layout.hash

    @property
    def action_size(self) -> int:
        """A, the number of action components."""
        return int(self._session.get_outputs()[0].shape[1])

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
            hint="use the features the model was trained with, or train it again",
        )

    def __call__(self, observations: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Actions [N, A] float32 in [-1, 1] for raw observations [N, F + P].

        Raises:
            DataError: wrong width, or a NaN or infinite value; the row and column are named.
        """
        batch = np.ascontiguousarray(observations, dtype=np.float32)
        if batch.ndim != 2 or batch.shape[1] != self._width:
            raise DataError(
                f"observations of shape {batch.shape}",
                expected=f"(N, {self._width}), the columns of layout {self.layout.hash[:12]}",
            )
        if not np.isfinite(batch).all():
            self._name_first_bad(batch)
        result: NDArray[np.float32] = self._run(_OUTPUTS, {"observation": batch})[0]
        if not np.isfinite(result).all():
            row = int(np.argmin(np.isfinite(result).all(axis=1)))
            raise DataError(
                f"the model answers row {row} with {result[row].tolist()}",
                expected="a finite action",
                hint="the observation lies far outside the training range",
            )
        # onnxruntime's Tanh may answer 1.0000001
        return cast("NDArray[np.float32]", np.minimum(np.maximum(result, _LOWEST), _HIGHEST))

    def _name_first_bad(self, batch: NDArray[np.float32]) -> None:
        row, column = (int(i) for i in np.argwhere(~np.isfinite(batch))[0])
        raise DataError(
            f"observation row {row}, column {self.layout.names[column]!r} is {batch[row, column]}",
            expected="finite values; a policy gives no action for an unknown state",
            hint="skip the bars before the features' warm-up, and check the feed",
        )


def _open_session(path: Path) -> Any:
    """An inference session on the CPU with one thread and no busy waiting."""
    if not path.is_file():
        raise DataError(
            f"no file {path}", expected="an ONNX policy", hint="run `offline-trader export` first"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises its own unexported exception types
        raise DataError(
            f"{path} cannot be opened: {str(error).splitlines()[0]}",
            expected="an ONNX policy written by `offline-trader export`",
        ) from error
    if [each.name for each in session.get_inputs()] != ["observation"]:
        raise DataError(
            f"{path} has inputs {[each.name for each in session.get_inputs()]}",
            expected="one input named 'observation'",
            hint="export the policy with `offline-trader export`",
        )
    return session
