"""ONNX export, the torch-free runtime, parity and the manifest.

Names load on first use: ``export_onnx`` and ``torch_policy`` need torch, the runtime onnxruntime
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.export.adopted import adopt_onnx
    from offline_trader.export.agreement import PARITY_TOLERANCE, ParityReport, parity
    from offline_trader.export.manifest import (
        ManifestFacts,
        read_manifest,
        record_gates,
        refuse_collapsed,
        refuse_taken_place,
        verify_manifest,
        write_manifest,
    )
    from offline_trader.export.model_file import (
        ModelFile,
        OptionStates,
        is_foreign,
        read_model,
        read_plain_graph,
    )
    from offline_trader.export.onnx_model import ExportResult, export_onnx, torch_policy
    from offline_trader.export.option_model import (
        OnnxOptions,
        export_options,
        open_model,
        option_parity,
    )
    from offline_trader.export.runtime import ModelSession, OnnxPolicy
    from offline_trader.interrupts import stop_on_interrupt

__all__ = [
    "PARITY_TOLERANCE",
    "ExportResult",
    "ManifestFacts",
    "ModelFile",
    "ModelSession",
    "OnnxOptions",
    "OnnxPolicy",
    "OptionStates",
    "ParityReport",
    "adopt_onnx",
    "export_onnx",
    "export_options",
    "is_foreign",
    "open_model",
    "option_parity",
    "parity",
    "read_manifest",
    "read_model",
    "read_plain_graph",
    "record_gates",
    "refuse_collapsed",
    "refuse_taken_place",
    "stop_on_interrupt",
    "torch_policy",
    "verify_manifest",
    "write_manifest",
]

__getattr__ = lazy_names(__name__)
