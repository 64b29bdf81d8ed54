"""ONNX export, the torch-free runtime, parity and the manifest.

``export_onnx`` and ``torch_policy`` need torch, which is imported when one of them is first used;
the runtime needs onnxruntime alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offline_trader.export.agreement import PARITY_TOLERANCE, ParityReport, parity
from offline_trader.export.manifest import (
    ManifestFacts,
    read_manifest,
    record_gates,
    refuse_collapsed,
    refuse_taken_place,
    sha256_of,
    verify_manifest,
    write_manifest,
)
from offline_trader.export.model_file import ModelFile, read_model
from offline_trader.export.runtime import OnnxPolicy
from offline_trader.interrupts import stop_on_interrupt

if TYPE_CHECKING:
    from offline_trader.export.onnx_model import ExportResult, export_onnx, torch_policy

__all__ = [
    "PARITY_TOLERANCE",
    "ExportResult",
    "ManifestFacts",
    "ModelFile",
    "OnnxPolicy",
    "ParityReport",
    "export_onnx",
    "parity",
    "read_manifest",
    "read_model",
    "record_gates",
    "refuse_collapsed",
    "refuse_taken_place",
    "sha256_of",
    "stop_on_interrupt",
    "torch_policy",
    "verify_manifest",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name in {"ExportResult", "export_onnx", "torch_policy"}:
        from offline_trader.export import onnx_model

        return getattr(onnx_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
