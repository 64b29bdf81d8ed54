"""Writes a foreign policy's graph as one of our ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offline_trader.export import ExportResult, adopt_onnx, export_onnx
from offline_trader.features import FeatureScaler
from offline_trader.policies.foreign import Graph
from offline_trader.types import ObservationLayout

__all__ = ["write_graph"]


def write_graph(
    graph: Graph, layout: ObservationLayout, path: Path, metadata: Mapping[str, Any]
) -> ExportResult:
    """The model of ``graph`` at ``path``, with the scaler (none: mean 0, scale 1) inside.

    Args:
        graph: of :meth:`ForeignPolicy.require_graph`.
        layout: of the observations that it reads.
        path: the file.
        metadata: facts that are stored in it.

    Raises:
        ConfigError: an actor of other shapes, or operators that cannot be written.
    """
    mean = np.zeros(layout.size) if graph.mean is None else graph.mean
    scale = np.ones(layout.size) if graph.scale is None else graph.scale
    scaler = FeatureScaler(mean, scale)
    if isinstance(graph.actor, torch.nn.Module):
        return export_onnx(graph.actor, scaler, layout, path, metadata)
    return adopt_onnx(graph.actor, scaler, layout, path, metadata)
