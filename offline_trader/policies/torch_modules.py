"""Torch modules and TorchScript as policies."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch

from offline_trader.policies.foreign import ForeignPolicy, Graph, PolicyKind
from offline_trader.types import Observations
from offline_trader.user_code import guarded

__all__ = ["from_torch", "load_script", "script_graph"]

_OPSET = 18


def from_torch(
    module: torch.nn.Module, name: str = "", made: str = "", width: int | None = None
) -> ForeignPolicy:
    """A module from raw observations [B, O] to actions [B, 1], run in evaluation mode.

    Args:
        module: of torch, or of TorchScript.
        name: for reports; by default its class's.
        made: hash of its file, where it is from one.
        width: O, if that is known; by default that of its first linear layer, if it has one.
    """
    script = isinstance(module, torch.jit.ScriptModule)
    called = name or type(module).__name__
    columns = width or _first_width(module)
    kind: PolicyKind = "TorchScript" if script else "torch"

    def compute(observations: Observations) -> Any:
        was = module.training
        device = next((each.device for each in module.parameters()), torch.device("cpu"))
        module.eval()
        try:
            with torch.no_grad():
                answer = module(torch.from_numpy(observations).to(device))
        finally:
            module.train(was)
        first = answer[0] if isinstance(answer, tuple | list) else answer
        return first.detach().cpu().numpy() if isinstance(first, torch.Tensor) else first

    def graph() -> Graph:
        if not script:
            return Graph(module)
        return script_graph(module, columns or _asked_width(module))

    return ForeignPolicy(called, kind, guarded(called, compute), columns, graph, made)


def load_script(path: str | Path) -> torch.nn.Module:
    """The TorchScript module in a file; a program, which this may run parts of.

    Raises:
        RuntimeError, ValueError: torch cannot read it.
    """
    with warnings.catch_warnings():  # of its end, which the files of users do not hasten
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-any-return,no-untyped-call]


def script_graph(module: Any, width: int) -> Graph:
    """The ONNX graph of a TorchScript module.

    torch's newer exporter takes none, so it is the older one, whose operators are enough for it.
    """
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.zeros(2, width),),
            buffer,
            dynamo=False,
            input_names=["observation"],
            output_names=["action"],
            dynamic_axes={"observation": {0: "batch"}, "action": {0: "batch"}},
            opset_version=_OPSET,
        )
    return Graph(onnx.load_from_string(buffer.getvalue()))


def _first_width(module: torch.nn.Module) -> int | None:
    """Columns of the first matrix among the parameters that a linear layer has."""
    for name, value in module.named_parameters():
        if name.endswith("weight") and value.ndim == 2:
            return int(value.shape[1])
    return None


def _asked_width(module: torch.nn.Module) -> int:
    from offline_trader.features import observation_layout

    return observation_layout().size
