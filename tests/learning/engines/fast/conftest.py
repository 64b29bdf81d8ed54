"""Pairs of equal d3rlpy algorithms and batches, shared by the tests of the fast updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from offline_trader.networks import import_d3rlpy

SIZE = 6
ROWS = 64


def build(algorithm: str, hidden: tuple[int, ...] = (32, 32), **settings: Any) -> Any:
    """A d3rlpy algorithm with networks from seed 0; ``layer_norm``, ``action_size`` on request."""
    import_d3rlpy()
    from d3rlpy import algos
    from d3rlpy.models.encoders import VectorEncoderFactory

    norm, width = settings.pop("layer_norm", False), settings.pop("action_size", 1)
    encoders = ["actor_encoder_factory", "critic_encoder_factory"]
    encoders += ["value_encoder_factory"] if algorithm == "IQL" else []
    for name in encoders:
        settings.setdefault(
            name, VectorEncoderFactory(hidden_units=list(hidden), use_layer_norm=norm)
        )
    if algorithm in ("CQL", "CalQL"):
        settings = {"alpha_learning_rate": 0.0, "conservative_weight": 0.5} | settings
    algo = getattr(algos, algorithm + "Config")(**settings).create()
    torch.manual_seed(settings.get("seed", 0))
    algo.create_impl((settings.pop("size", SIZE),), width)
    return algo


def draw_batch(generator: torch.Generator, width: int = 1, rows: int = ROWS) -> Any:
    """Random transitions, a tenth of them terminal, some of several steps."""
    from d3rlpy.torch_utility import TorchMiniBatch

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def coin(share: float) -> torch.Tensor:
        return (torch.rand(rows, 1, generator=generator) < share).float()

    return TorchMiniBatch(
        observations=normal(rows, SIZE),
        actions=torch.tanh(normal(rows, width)),
        rewards=normal(rows, 1),
        next_observations=normal(rows, SIZE),
        next_actions=torch.tanh(normal(rows, width)),
        returns_to_go=normal(rows, 1),
        terminals=coin(0.1),
        intervals=1.0 + 2.0 * coin(0.2),
        device="cpu",
    )


@pytest.fixture
def make() -> Callable[..., Any]:
    """:func:`build`."""
    return build


@pytest.fixture
def batches() -> Callable[..., list[Any]]:
    """``batches(count, width)``: a list of seeded batches."""

    def draw(count: int, width: int = 1) -> list[Any]:
        generator = torch.Generator().manual_seed(1)
        return [draw_batch(generator, width) for _ in range(count)]

    return draw
