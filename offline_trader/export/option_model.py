"""A policy that chooses among options, as one ONNX file: written, opened, compared.

The graph takes ``observation`` [N, F + P] and ``state`` [N, S], and answers ``action`` [N, 1],
``next_state`` [N, S], which is the state at the next bar, and ``available`` [N, K], 1 where an
option might have begun. Where a lane begins, its state is the initial one that the file states
(``offline_trader.options``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.export.agreement import ParityReport, probe_observations
from offline_trader.export.model_file import OPTIONS, ModelFile, OptionStates, read_model
from offline_trader.export.runtime import OnnxPolicy
from offline_trader.types import BoolArray, ObservationLayout, Observations, Scaler

if TYPE_CHECKING:
    import torch

    from offline_trader.export.onnx_model import ExportResult

__all__ = ["OnnxOptions", "export_options", "open_model", "option_parity"]

_OUTPUTS = ("action", "next_state", "available")
OPTION_TOLERANCE = 1e-6
_NEAR = 1e-5
_LONGEST = 80


def export_options(
    chooser: torch.nn.Module,
    states: OptionStates,
    scaler: Scaler,
    layout: ObservationLayout,
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
) -> ExportResult:
    """Writes ``chooser`` to ``path`` and returns what was written.

    Args:
        chooser: raw observations [N, O] and states [N, S] → what the graph answers.
        states: options and state.
        scaler: that the chooser applies; for those who read the file.
        layout, path, metadata: as of :func:`~offline_trader.export.export_onnx`.

    Raises:
        ConfigError: the metadata holds a path of this machine.
    """
    from offline_trader.codec import plain
    from offline_trader.export.onnx_model import traced, write_proto

    widths = {"observation": layout.size, "state": len(states.columns)}
    proto = traced(chooser, widths, _OUTPUTS)
    told = {OPTIONS: plain(states)}
    return write_proto(proto, scaler, layout, Path(path), dict(metadata or {}), told=told)


def open_model(
    path: Path | str | ModelFile,
    *,
    expected_layout: ObservationLayout | None = None,
    unverified: bool = False,
    goal: float | None = None,
) -> OnnxPolicy:
    """The policy of a file, with states of lanes or without.

    Raises:
        ConfigError, DataError, SchemaMismatch: as :class:`~offline_trader.export.OnnxPolicy`.
    """
    file = read_model(path, unverified=unverified)
    kind = OnnxPolicy if file.options is None else OnnxOptions
    return kind(file, expected_layout=expected_layout, goal=goal)


class OnnxOptions(OnnxPolicy):
    """A file that :func:`export_options` wrote, as a :class:`~offline_trader.types.LanePolicy`.

    Attributes:
        states: options and state.
        names: of the options.
    """

    keeps_state = True

    def __init__(
        self,
        path: Path | str | ModelFile,
        *,
        expected_layout: ObservationLayout | None = None,
        unverified: bool = False,
        goal: float | None = None,
    ) -> None:
        file = read_model(path, unverified=unverified)
        if file.options is None:
            raise DataError(f"{file.path} chooses among no options", expected="one that does")
        self.states = file.options
        self.names = file.options.names
        self._initial = np.array([file.options.initial], np.float32)
        self._lanes: NDArray[np.float32] | None = None
        super().__init__(file, expected_layout=expected_layout, goal=goal)

    def _require_signature(self) -> None:
        size = len(self.states.columns)
        self._session.require_signature(
            {"observation": self._width, "state": size},
            {"action": 1, "next_state": size, "available": len(self.names)},
        )

    def restart(self, lanes: BoolArray, /) -> None:
        """An episode begins in those of the N lanes."""
        if self._lanes is None or len(self._lanes) != len(lanes):
            self._lanes = self._initial.repeat(len(lanes), axis=0)
        self._lanes[lanes] = self._initial

    def decide(
        self, observations: Observations, state: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Actions [N, 1], next states [N, S], and [N, K] which options might have begun.

        Args:
            observations: [N, F + P] raw.
            state: [N, S]; None: nothing runs yet.

        Raises:
            DataError: other shapes, values that are not finite, or an option that there is not.
        """
        batch = self._checked(observations)
        n, size = len(batch), len(self.states.columns)
        given = self._initial.repeat(n, axis=0) if state is None else np.asarray(state, np.float32)
        if given.shape != (n, size) or not np.isfinite(given).all():
            raise DataError(
                f"states of shape {given.shape}, or not finite",
                expected=f"({n}, {size}): {', '.join(self.states.columns)}",
            )
        if n and not (given[:, 0].min() >= -1.0 and given[:, 0].max() < len(self.names)):
            raise DataError(
                f"a state with option {given[:, 0].max():g} or {given[:, 0].min():g}",
                expected=f"-1 (none) to {len(self.names) - 1}",
            )
        action, after, available = self._run(_OUTPUTS, {"observation": batch, "state": given})
        if after.shape != (n, size) or not np.isfinite(after).all():
            raise DataError(
                f"{self.path} answers states of shape {after.shape}, or not finite ones",
                expected=f"({n}, {size})",
            )
        return self._answer(action, n), after, available

    def __call__(self, observations: Observations, /, *_: Any) -> NDArray[np.float32]:
        """Actions [N, 1]; the states of the lanes move on."""
        if self._lanes is None or len(self._lanes) != len(observations):
            self.restart(np.ones(len(observations), np.bool_))
        action, self._lanes, _available = self.decide(observations, self._lanes)
        return action

    def wide(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions [N, 1] where nothing runs yet; no state moves on."""
        return self.decide(rows)[0]


def option_parity(
    policy: OnnxOptions,
    reference: Any,
    *,
    n: int = 20_000,
    seed: int = 0,
    observations: Observations | None = None,
    tolerance: float = OPTION_TOLERANCE,
) -> ParityReport:
    """Largest difference of actions and next states over n observations in random states.

    Where two options are worth the same to rounding, or a termination is as likely as not, either
    choice is right: rows that differ and are such ties are counted as rounding.

    Args:
        policy: the exported file.
        reference: the policy that it was made from, with ``decide`` and ``near_ties``.
        observations: [M, O] real ones, which replace as many drawn ones.
    """
    scales: Sequence[NDArray[np.float64]] = [
        np.asarray(policy.scaler[name]) for name in ("mean", "scale")
    ]
    rng = np.random.default_rng(seed)
    rows = probe_observations(scales[0], scales[1], n, rng)
    if observations is not None:
        taken = min(len(observations), n // 2)
        rows[n - taken :] = observations[:taken]
    states = np.stack(
        [
            rng.integers(-1, len(policy.names), n),
            rng.integers(1, _LONGEST, n),
            np.abs(rng.normal(0.0, 0.05, n)),
        ],
        axis=1,
    ).astype(np.float32)
    ours, theirs = policy.decide(rows, states), reference.decide(rows, states)
    gap = np.max(
        [np.abs(a - b).max(axis=1) for a, b in zip(ours, theirs, strict=True)], axis=0
    ).astype(np.float64)
    beyond = gap > tolerance
    ties = beyond & reference.near_ties(rows, states, _NEAR)
    kept = np.where(ties, 0.0, gap)
    return ParityReport(
        n,
        float(kept.max()),
        float(kept.mean()),
        int(kept.argmax()),
        int(ties.sum()),
        tolerance,
        not bool((beyond & ~ties).any()),
    )
