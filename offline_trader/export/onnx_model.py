"""Writes an actor as one ONNX file that holds all that a decision needs.

The graph is ``action = clip(actor((observation - mean) / scale), -1, 1)``: the observation scaler
is inside, so a caller feeds raw observations; the actor is deterministic (``tanh(mu)``); the batch
is dynamic. Of a policy that takes a goal, ``progress`` and ``goal`` are inputs beside
``observation``, of one that takes the weights of objectives ``preference``. The observation layout,
its hash, the scaler and the caller's facts travel as ``metadata_props``, so the file alone says
which columns it expects.

Why ``torch.onnx.export(dynamo=True)``: it traces any module (normalisation layers, residual or
auxiliary encoders alike), the older tracing exporter is deprecated, and building the graph by
hand would have to be repeated for every new architecture. It takes about a second for an MLP.
What it adds about the building machine (stack traces, module paths, value names of the tracer)
is stripped, after which equal weights give equal bytes.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from offline_trader import __version__
from offline_trader.codec import plain
from offline_trader.errors import ConfigError
from offline_trader.export.model_file import (
    CONTENT_HASH,
    GOAL,
    GOAL_INPUTS,
    PREFERENCE,
    PREFERENCE_INPUTS,
    UNSTAMPED,
    stamp,
)
from offline_trader.goals import GoalTask, Preference
from offline_trader.hashing import bytes_sha256
from offline_trader.runs import atomic_write
from offline_trader.types import FloatArray, ObservationLayout, Policy, Scaler, digest

__all__ = [
    "FORMAT_VERSION",
    "OPSET",
    "ExportResult",
    "export_onnx",
    "torch_policy",
    "traced",
    "write_proto",
]

FORMAT_VERSION = "2"
OPSET = 18


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        path: the ONNX file.
        sha256: of the file's bytes.
        size_bytes: of the file.
        opset: ONNX operator set version.
        layout_hash: of the observation layout inside.
        scaler_hash: of the scaler inside.
    """

    path: Path
    sha256: str
    size_bytes: int
    opset: int
    layout_hash: str
    scaler_hash: str


class _ScaledActor(torch.nn.Module):
    """``actor((observation - mean) / scale)`` in float32, as the training scales."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, actor: torch.nn.Module, mean: FloatArray, scale: FloatArray) -> None:
        super().__init__()
        self.actor = actor
        self.register_buffer("mean", torch.from_numpy(np.array(mean, dtype=np.float32)))
        self.register_buffer("scale", torch.from_numpy(np.array(scale, dtype=np.float32)))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Actions [B, A] in [-1, 1] for raw observations [B, F + P]."""
        action: torch.Tensor = self.actor((observation - self.mean) / self.scale)
        return action.clamp(-1.0, 1.0)  # onnxruntime's Tanh may answer 1.0000001


class _GoalActor(torch.nn.Module):
    """A scaled actor whose observation comes in three parts."""

    def __init__(self, wide: _ScaledActor) -> None:
        super().__init__()
        self.wide = wide

    def forward(
        self, observation: torch.Tensor, progress: torch.Tensor, goal: torch.Tensor
    ) -> torch.Tensor:
        """Actions [B, A] for [B, F + P], [B, E] and [B, 1], all raw."""
        action: torch.Tensor = self.wide(torch.cat([observation, progress, goal], dim=1))
        return action


class _PreferenceActor(torch.nn.Module):
    """A scaled actor whose observation comes in two parts."""

    def __init__(self, wide: _ScaledActor) -> None:
        super().__init__()
        self.wide = wide

    def forward(self, observation: torch.Tensor, preference: torch.Tensor) -> torch.Tensor:
        """Actions [B, A] for [B, F + P] and [B, K], all raw."""
        action: torch.Tensor = self.wide(torch.cat([observation, preference], dim=1))
        return action


def export_onnx(
    actor: torch.nn.Module,
    scaler: Scaler,
    layout: ObservationLayout,
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
    task: GoalTask | None = None,
    preference: Preference | None = None,
) -> ExportResult:
    """Writes ``actor`` behind ``scaler`` to ``path`` and returns what was written.

    Args:
        actor: scaled observations [B, F + P] float32 → deterministic actions [B, A] in [-1, 1].
        scaler: mean and scale [F + P] fitted on the training range.
        layout: names and order of the raw observation's columns.
        path: the ``.onnx`` file, written atomically.
        metadata: JSON-able facts (action mode, run, data hash …) stored in the file. Same
            weights and same metadata give the same bytes, so leave clocks out.
        task: of a policy that takes a goal, with its default. Actor and scaler have the columns of
            progress and goal behind the layout's then; the graph takes them as inputs of their own,
            ``progress`` [B, E] and ``goal`` [B, 1].
        preference: of a policy that takes one, with its default; an input [B, K] likewise.

    Raises:
        ConfigError: scaler and layout differ in width, a scale is not positive, the actor gives
            another shape or non-finite actions, or the metadata holds a path of this machine.
    """
    facts = dict(metadata or {})
    _refuse_paths(facts, "metadata")  # before the second that tracing takes
    further = _further(task, preference)
    model = _wrap(actor, scaler, layout, tuple(further.values()))
    widths = {"observation": layout.size, **further}
    whole = {1: lambda each: each, 2: _PreferenceActor, 3: _GoalActor}[len(widths)](model)
    proto = traced(whole, widths, ("action",), model.mean.device)
    told = {PREFERENCE: plain(preference)} if preference else None
    return write_proto(proto, scaler, layout, Path(path), facts, task, told)


def write_proto(
    proto: onnx.ModelProto,
    scaler: Scaler,
    layout: ObservationLayout,
    path: Path,
    facts: Mapping[str, Any],
    task: GoalTask | None = None,
    told: Mapping[str, object] | None = None,
) -> ExportResult:
    """Writes a graph from ``observation`` to ``action`` with all that it says of itself.

    Args:
        proto: the whole graph; what it knows of its making is removed.
        scaler, layout, path: as for :func:`export_onnx`.
        facts: the metadata.
        task: of a policy that takes a goal.
        told: further entries beside the metadata, by name.

    Raises:
        ConfigError: the metadata holds a path of this machine.
    """
    _refuse_paths(facts, "metadata")
    _strip(proto)
    entries = {name: _canonical(value) for name, value in (told or {}).items()}
    if task:
        entries[GOAL] = _canonical(plain(task))
    _describe(proto, scaler, layout, dict(facts), entries)
    onnx.checker.check_model(proto, full_check=True)
    payload = stamp(proto.SerializeToString(deterministic=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, payload)
    return ExportResult(
        path=path,
        sha256=bytes_sha256(payload),
        size_bytes=len(payload),
        opset=OPSET,
        layout_hash=layout.hash,
        scaler_hash=digest(_scaler_dict(scaler)),
    )


def torch_policy(
    actor: torch.nn.Module,
    scaler: Scaler,
    layout: ObservationLayout,
    *,
    exact: bool = False,
    task: GoalTask | None = None,
    preference: Preference | None = None,
) -> Policy:
    """The same decision in torch: the reference that the ONNX file is compared with.

    Of a policy that takes a goal or a preference it reads observations with them in one.

    Args:
        actor, scaler, layout, task, preference: as of :func:`export_onnx`.
        exact: compute in float64 from the same float32 weights and scaler, answering float64.
    """
    model = _wrap(actor, scaler, layout, tuple(_further(task, preference).values()))
    dtype = np.float64 if exact else np.float32
    if exact:
        model = copy.deepcopy(model).double()

    def act(observations: NDArray[np.float32], /) -> NDArray[np.float32]:
        with torch.no_grad(), _evaluating(model):
            result: NDArray[np.float32] = model(
                torch.from_numpy(np.array(observations, dtype=dtype))
            ).numpy()
        return result

    return act


def _further(task: GoalTask | None, preference: Preference | None) -> dict[str, int]:
    """Names and widths of the inputs behind the observation."""
    if task:
        return dict(zip(GOAL_INPUTS, (len(task.progress), 1), strict=True))
    return dict.fromkeys(PREFERENCE_INPUTS, len(preference.names)) if preference else {}


def _wrap(
    actor: torch.nn.Module,
    scaler: Scaler,
    layout: ObservationLayout,
    further: tuple[int, ...] = (),
) -> _ScaledActor:
    mean, scale = np.asarray(scaler.mean), np.asarray(scaler.scale)
    width = layout.size + sum(further)
    if mean.shape != (width,) or scale.shape != (width,):
        raise ConfigError(
            f"the scaler has {mean.size} means and {scale.size} scales",
            expected=f"{width} of each, one a column of layout {layout.hash[:12]}"
            + (" and of goal or preference" if further else ""),
        )
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        names = (*layout.names, *("a column of goal or preference" for _ in range(sum(further))))
        bad = names[int(np.argmin(np.isfinite(mean) & np.isfinite(scale) & (scale > 0)))]
        raise ConfigError(
            f"the scaler's column {bad!r} has mean or scale that cannot be used",
            expected="finite means and positive finite scales",
            hint="fit the scaler again on the training range",
        )
    model = _ScaledActor(actor, mean, scale)
    with torch.no_grad(), _evaluating(model):
        action = model(model.mean.repeat(2, 1))
    if action.ndim != 2 or len(action) != 2 or not bool(torch.isfinite(action).all()):
        raise ConfigError(
            f"the actor answers two observations with shape {tuple(action.shape)} "
            f"and values {action.flatten()[:4].tolist()}",
            expected="finite actions of shape (2, A)",
        )
    return model


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Dropout and batch statistics off, and every flag as it was afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the exporter's remarks about optional packages and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    children = [logging.getLogger("torch.onnx._internal.exporter._registration"), logger]
    levels = [each.level for each in children]
    for each in children:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(children, levels, strict=True):
            each.setLevel(level)


def traced(
    model: torch.nn.Module,
    widths: Mapping[str, int],
    outputs: Sequence[str],
    device: torch.device | str = "cpu",
) -> onnx.ModelProto:
    """The graph of ``model``, whose inputs are float32 [B, w] each, B free.

    Args:
        model: is evaluated as it is, without dropout.
        widths: w of every input by name, in the order of the model's arguments.
        outputs: names of what it answers.
        device: of the model.
    """
    batch = torch.export.Dim("batch")
    with _quiet(), _evaluating(model), torch.no_grad():
        program = torch.onnx.export(
            model,
            tuple(torch.zeros(2, width, device=device) for width in widths.values()),
            dynamo=True,
            verbose=False,
            input_names=list(widths),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in widths),
            opset_version=OPSET,
            external_data=False,
        )
    assert program is not None
    return program.model_proto


def _strip(proto: onnx.ModelProto) -> None:
    """Removes what the exporter knows of the building machine: traces, module paths, remarks."""
    graph = proto.graph
    proto.doc_string = graph.doc_string = ""
    graph.name = "policy"
    del proto.metadata_props[:]
    del graph.metadata_props[:]
    for index, node in enumerate(graph.node):
        node.doc_string = ""
        node.name = f"{index}_{node.op_type}"
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.doc_string = ""
        del value.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    del graph.value_info[:]


def _describe(
    proto: onnx.ModelProto,
    scaler: Scaler,
    layout: ObservationLayout,
    facts: dict[str, Any],
    told: Mapping[str, str],
) -> None:
    proto.producer_name = "offline-trader"
    proto.producer_version = __version__
    proto.domain = "offline_trader"
    entries = {
        "offline_trader.format": FORMAT_VERSION,
        "offline_trader.layout": _canonical(layout.to_dict()),
        "offline_trader.layout_hash": layout.hash,
        "offline_trader.feature_hash": layout.feature_hash,
        "offline_trader.scaler": _canonical(_scaler_dict(scaler)),
        "offline_trader.metadata": _canonical(facts),
        CONTENT_HASH: UNSTAMPED,
        **told,
    }
    for key in sorted(entries):
        prop = proto.metadata_props.add()
        prop.key, prop.value = key, entries[key]


def _scaler_dict(scaler: Scaler) -> dict[str, list[float]]:
    return {
        "mean": np.asarray(scaler.mean, dtype=np.float64).tolist(),
        "scale": np.asarray(scaler.scale, dtype=np.float64).tolist(),
    }


def _canonical(payload: object) -> str:
    try:
        return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the model's metadata is not JSON: {error}") from error


def _refuse_paths(value: object, where: str) -> None:
    """Raises ConfigError at the first string that is an absolute path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_paths(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _refuse_paths(item, f"{where}[{index}]")
    elif isinstance(value, PurePosixPath | PureWindowsPath) or (
        isinstance(value, str)
        and (
            PurePosixPath(value).is_absolute()
            or PureWindowsPath(value).is_absolute()
            or value.startswith("~")
        )
    ):
        raise ConfigError(
            f"{where} holds the path {str(value)!r}",
            expected="no path of the building machine inside a model",
            hint="store a name or a hash instead",
        )
