"""A policy that was made elsewhere, called and checked like one of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError, SchemaMismatch

if TYPE_CHECKING:
    import onnx
    import torch

    from offline_trader.envs import EnvConfig
    from offline_trader.types import BoolArray, FloatArray, ObservationLayout, Observations

__all__ = [
    "MODEL_ENDINGS",
    "PICKLE_ENDINGS",
    "ForeignPolicy",
    "Graph",
    "PolicyKind",
    "StatefulPolicy",
]

PolicyKind: TypeAlias = Literal[
    "function", "stable-baselines3", "d3rlpy", "torch", "TorchScript", "ONNX"
]
MODEL_ENDINGS = (".onnx", ".pt", ".pth", ".ts", ".torchscript")
"""Of files that may hold an actor of another program."""
PICKLE_ENDINGS = (".zip", ".d3", ".pkl", ".joblib", ".ckpt")
"""Of files that are not opened."""
_PROBES = 64


@dataclass(frozen=True, eq=False)
class Graph:
    """What an export writes of a policy.

    Attributes:
        actor: scaled observations [B, O] to actions [B, 1]: a torch module, or an ONNX model.
        mean, scale: [O] of the scaler before it; None: it reads raw observations.
    """

    actor: torch.nn.Module | onnx.ModelProto
    mean: FloatArray | None = None
    scale: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class ForeignPolicy:
    """A policy from elsewhere; :func:`offline_trader.policies.adapt` makes it.

    What it is given is raw, as our own policies have it: no scaler of ours comes before it. Its
    answers are checked at every call and clipped to [−1, 1].

    Attributes:
        name: for reports and messages.
        kind: what it is.
        decide: observations [N, O] float32 → actions [N] or [N, 1].
        width: O; None: any.
        graph: what an export needs; None: it has no graph.
        made: what is known of its making, for the ledger, such as a file's hash.
        env: the environment that it was trained in, where the model knows it.
    """

    name: str
    kind: PolicyKind
    decide: Callable[[Observations], Any]
    width: int | None = None
    graph: Callable[[], Graph] | None = None
    made: str = ""
    env: EnvConfig | None = None

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] float32 in [−1, 1] for raw observations [N, O].

        Raises:
            SchemaMismatch: observations of another width.
            DataError: answers that are not one finite number a row.
            ConfigError: it fails; its own file and line are named.
        """
        batch = np.ascontiguousarray(observations, dtype=np.float32)
        self._require_width(batch.shape[-1], "the observations have")
        raw = self.decide(batch)
        try:
            found = np.asarray(raw, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{self.name} answers {len(batch)} observations with a {type(raw).__name__}",
                expected=f"({len(batch)},) or ({len(batch)}, 1): a number a row",
            ) from error
        if found.shape not in ((len(batch),), (len(batch), 1)):
            raise DataError(
                f"{self.name} answers {len(batch)} observations with shape {found.shape}",
                expected=f"({len(batch)},) or ({len(batch)}, 1): one action a row",
            )
        if not np.isfinite(found).all():
            row = int(np.argmin(np.isfinite(found.reshape(-1))))
            raise DataError(
                f"{self.name} answers row {row} with {found.reshape(-1)[row]}",
                expected="a finite action in [-1, 1]",
            )
        return np.clip(found.reshape(-1, 1), -1.0, 1.0).astype(np.float32)

    def require_layout(self, layout: ObservationLayout) -> None:
        """Nothing if it decides by observations of ``layout``: one action for each of a few rows,
        the same the second time, and the same for a row alone.

        Raises:
            SchemaMismatch: it reads another number of columns.
            DataError: it answers otherwise, or with other shapes.
        """
        self._require_width(layout.size, f"layout {layout.hash[:12]} has")
        self.require_decisions(layout.size)

    def require_decisions(self, width: int) -> None:
        """As :meth:`require_layout`, for observations of ``width`` columns."""
        probes = _probes(width)[:3]
        first, second = self(probes), self(probes)
        if not np.array_equal(first, second):
            raise DataError(
                f"{self.name} answers the same observations with {first[0, 0]:.6g} and then "
                f"{second[0, 0]:.6g}",
                expected="a deterministic policy",
                hint="one that remembers has a method restart(lanes), which is told where "
                "episodes begin",
            )
        alone = np.concatenate([self(probes[i : i + 1]) for i in range(len(probes))])
        if not np.allclose(first, alone, rtol=0.0, atol=1e-3):
            raise DataError(
                f"{self.name} answers a row alone otherwise than among others",
                expected="an action that depends on its own row only",
            )

    def fingerprint(self, width: int) -> str:
        """SHA-256 of what it is: of its file, or else of its actions on fixed observations."""
        if self.made:
            return self.made
        actions = np.round(self(_probes(width)).astype(np.float64), 5) + 0.0
        return hashlib.sha256(f"{self.kind} {width}".encode() + actions.tobytes()).hexdigest()

    def require_graph(self) -> Graph:
        """What an export needs.

        Raises:
            ConfigError: it is a function, which no file can hold.
        """
        if self.graph is None:
            raise ConfigError(
                f"{self.name} is a {self.kind} without a graph",
                expected="a torch module, a stable-baselines3 or d3rlpy model, TorchScript or ONNX",
                hint="write it as a torch.nn.Module, or train a clone of it: collect with it as an "
                "expert, then pretrain",
            )
        return self.graph()

    def _require_width(self, width: int, whose: str) -> None:
        if self.width is not None and width != self.width:
            raise SchemaMismatch(
                f"{self.name} reads {self.width} columns, {whose} {width}",
                expected="observations like those that it was trained on",
                hint="train it on offline_trader/Trading-v0, or wrap it in a function that picks "
                "its columns",
            )


@dataclass(frozen=True, eq=False)
class StatefulPolicy(ForeignPolicy):
    """One that remembers: it is told where episodes begin (``LanePolicy``).

    Attributes:
        forget: told the lanes [N] whose episodes begin.
    """

    forget: Callable[[BoolArray], Any] = lambda lanes: None

    def restart(self, lanes: BoolArray, /) -> None:
        """An episode begins in those of the N lanes."""
        self.forget(lanes)

    def require_decisions(self, width: int) -> None:
        """One finite action for a row, the same after each restart."""
        probe = _probes(width)[:1]
        self.restart(np.ones(1, np.bool_))
        first = self(probe)
        self.restart(np.ones(1, np.bool_))
        if not np.array_equal(first, self(probe)):
            raise DataError(
                f"{self.name} answers otherwise after a restart", expected="a deterministic policy"
            )

    def fingerprint(self, width: int) -> str:
        """As that of a plain one, after a restart."""
        self.restart(np.ones(_PROBES, np.bool_))
        return super().fingerprint(width)


def _probes(width: int) -> Observations:
    """[64, width] fixed observations, from the size of returns to that of scaled features."""
    rng = np.random.default_rng(0)
    scales = np.geomspace(0.01, 2.0, _PROBES)[:, None]
    return (rng.normal(size=(_PROBES, width)) * scales).astype(np.float32)
