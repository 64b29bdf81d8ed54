"""Encoders that read a window of bars in its order: a causal convolution or a recurrent network.

The observation stays one flat row. Which of its columns are a feature at its last W bars the
factory knows from the layout (:attr:`offline_trader.types.ObservationLayout.windows`); what the
front makes of them, [B, U], goes into the hidden layers beside the columns of the present bar and
the portfolio, and in a critic the action::

    h = hidden([front(x_{t−W+1}, …, x_t), x_t, portfolio_t, action])

Fronts: a stack of dilated causal convolutions of two taps (van den Oord et al. 2016, WaveNet,
section 2.1), of which only what the present bar's output needs is computed; or a gated recurrent
unit (Cho et al. 2014, in the form of ``torch.nn.GRU``), whose last state it is.

Importing this module registers the factory with d3rlpy, which ``d3rlpy.load_learnable`` needs of a
model with such an encoder.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from offline_trader.networks.quiet_import import import_d3rlpy

import_d3rlpy()

from d3rlpy.models import EncoderFactory, register_encoder_factory  # noqa: E402
from d3rlpy.models.torch import (  # noqa: E402
    Encoder,
    EncoderWithAction,
    VectorEncoder,
    VectorEncoderWithAction,
)

__all__ = ["KINDS", "WindowEncoderFactory"]


class _Convolution(nn.Module):
    """[B, C, W] → [B, U]: convolutions of two taps, 1, 2, 4, … bars apart, each with a ReLU."""

    def __init__(self, channels: int, bars: int, units: int) -> None:
        super().__init__()
        depth = (bars - 1).bit_length()
        self._before = 2**depth - bars
        self._convolutions = nn.ModuleList(
            nn.Conv1d(units if level else channels, units, kernel_size=2, dilation=2**level)
            for level in range(depth)
        )

    def forward(self, window: Tensor) -> Tensor:
        """The last output; bars before the window are 0."""
        hidden = nn.functional.pad(window, (self._before, 0))
        for convolution in self._convolutions:
            # no module for the ReLU: those are the hidden layers', which diagnoses look at
            hidden = torch.relu(convolution(hidden))
        return hidden[:, :, 0]


class _Recurrent(nn.Module):
    """[B, C, W] → [B, U]: the state of a GRU after the last bar, from one of 0."""

    def __init__(self, channels: int, bars: int, units: int) -> None:
        super().__init__()
        self._cell = nn.GRUCell(channels, units)

    def forward(self, window: Tensor) -> Tensor:
        """The last state."""
        hidden = window.new_zeros((window.shape[0], self._cell.hidden_size))
        for bar in window.unbind(2):
            hidden = self._cell(bar, hidden)
        return hidden


KINDS: dict[str, type[_Convolution] | type[_Recurrent]] = {
    "convolution": _Convolution,
    "gru": _Recurrent,
}
"""Fronts by the name that ``learner.encoder`` gives them."""


class _Windowed(nn.Module):
    """The front of an encoder: flat observations [B, O] → [B, U + present bar and portfolio]."""

    _columns: Tensor
    _present: Tensor

    def __init__(self, factory: WindowEncoderFactory, size: int) -> None:
        super().__init__()
        windows = factory.windows
        self._shape = (len(windows), len(windows[0]))
        lagged = {column for window in windows for column in window[:-1]}
        present = [column for column in range(size) if column not in lagged]
        # they follow from the settings, so no model stores them
        columns = torch.tensor([column for window in windows for column in window])
        self.register_buffer("_columns", columns, persistent=False)
        self.register_buffer("_present", torch.tensor(present), persistent=False)
        self._front = KINDS[factory.kind](*self._shape, factory.units)
        self.size = factory.units + len(present)

    def forward(self, x: Tensor) -> Tensor:
        window = x.index_select(1, self._columns).view(-1, *self._shape)
        return torch.cat([self._front(window), x.index_select(1, self._present)], dim=1)


class WindowEncoder(Encoder):  # type: ignore[misc]
    """States; see the module."""

    def __init__(self, factory: WindowEncoderFactory, size: int) -> None:
        super().__init__()
        self.kind = factory.kind
        self._window = _Windowed(factory, size)
        hidden = VectorEncoder(
            (self._window.size,), factory.hidden_units, use_layer_norm=factory.use_layer_norm
        )
        # not ``_layers``: who looks for a plain stack of linear layers must not find one here
        self._hidden = hidden._layers

    def forward(self, x: Tensor) -> Tensor:
        """[B, H]."""
        found: Tensor = self._hidden(self._window(x))
        return found


class WindowEncoderWithAction(EncoderWithAction):  # type: ignore[misc]
    """States and actions; see the module."""

    def __init__(self, factory: WindowEncoderFactory, size: int, action_size: int) -> None:
        super().__init__()
        self.kind = factory.kind
        self._window = _Windowed(factory, size)
        hidden = VectorEncoderWithAction(
            (self._window.size,),
            action_size,
            factory.hidden_units,
            use_layer_norm=factory.use_layer_norm,
        )
        self._hidden = hidden._layers

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """[B, H]."""
        found: Tensor = self._hidden(torch.cat([self._window(x), action], dim=1))
        return found


@dataclasses.dataclass()
class WindowEncoderFactory(EncoderFactory):  # type: ignore[misc]
    """d3rlpy encoder factory of a front over windows, then hidden layers.

    Attributes:
        kind: ``convolution`` or ``gru``.
        windows: [C][W] columns of each feature's last W bars, the oldest first.
        hidden_units: of each hidden layer; the front has half as many as the first.
        use_layer_norm: LayerNorm after each hidden layer.

    Raises:
        ValueError: another kind, no window, or columns that cannot be.
    """

    kind: str
    windows: list[list[int]]
    hidden_units: list[int]
    use_layer_norm: bool = False

    def __post_init__(self) -> None:
        columns = [column for window in self.windows for column in window]
        lengths = {len(window) for window in self.windows}
        wrong = self.kind not in KINDS or len(lengths) != 1 or min(lengths) < 2
        if wrong or min(columns) < 0 or len(set(columns)) < len(columns):
            raise ValueError(f"an encoder {self.kind!r} over windows {self.windows}")

    @property
    def units(self) -> int:
        """U, of the front."""
        return max(self.hidden_units[0] // 2, 1)

    def create(self, observation_shape: Any) -> WindowEncoder:
        """For observations [O]."""
        return WindowEncoder(self, self._size(observation_shape))

    def create_with_action(
        self, observation_shape: Any, action_size: int, discrete_action: bool = False
    ) -> WindowEncoderWithAction:
        """For observations [O] and continuous actions [A]."""
        if discrete_action:
            raise ValueError("an encoder over windows takes continuous actions")
        return WindowEncoderWithAction(self, self._size(observation_shape), action_size)

    def _size(self, shape: Any) -> int:
        (size,) = shape
        if max(map(max, self.windows)) >= size:
            raise ValueError(f"windows {self.windows} in observations of {size} columns")
        return int(size)

    @staticmethod
    def get_type() -> str:
        """As saved models name it."""
        return "offline_trader_window"


register_encoder_factory(WindowEncoderFactory)
