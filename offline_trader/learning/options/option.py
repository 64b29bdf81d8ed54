"""What an option is: where it may begin, what it does, when it ends; array code over lanes.

Options are written in torch, so that the very code that trains is traced into the exported graph.
One of the user's own is a class with these calls, registered under a name in :data:`OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from torch import Tensor, nn

from offline_trader.errors import ConfigError, did_you_mean
from offline_trader.registry import Registry
from offline_trader.types import ObservationLayout

if TYPE_CHECKING:
    from offline_trader.simulator import SimulatorConfig

__all__ = ["HELD", "OPTIONS", "Lane", "MakeOption", "Option", "Seen", "Space", "Surroundings"]

Space: TypeAlias = Literal["order", "target", "action"]
HELD = 1e-3
"""Smallest |exposure| that counts as a position, as for the experts."""


class Seen:
    """Raw observations [N, O] by column name: ``seen["rsi_14"]`` is [N].

    Args:
        columns: name → column.
        values: [N, O].
    """

    def __init__(self, columns: Mapping[str, int], values: Tensor) -> None:
        self._columns, self.values = columns, values

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._columns:
            raise ConfigError(
                f"an option reads the column {name!r}, which the observation does not have",
                expected="the feature sets that the option is written for, as builtin",
                hint=did_you_mean(name, self._columns),
            )
        return self.values[:, self._columns[name]]

    @property
    def held(self) -> Tensor:
        """[N] bool, whether there is a position."""
        return self["exposure"].abs() > HELD


class Lane(NamedTuple):
    """What a lane knows of the option that runs in it.

    Attributes:
        age: [N] bars that it has run; 0 at its first decision.
        memory: [N] a number that the option keeps; 0 at its first decision.
    """

    age: Tensor
    memory: Tensor


class Option(Protocol):
    """One option. Every call is for N lanes; row n of a result reads row n of its inputs alone.

    Attributes:
        space: what :meth:`act` answers: ``order`` (share of the cash to buy for, or of the
            position to sell), ``target`` (weight) or ``action`` (what the simulator takes).
    """

    @property
    def space(self) -> Space: ...

    def can_start(self, seen: Seen) -> Tensor:
        """[N] bool, whether it may begin."""
        ...

    def remember(self, seen: Seen, lane: Lane) -> Tensor:
        """[N] the memory, at the state that was come to; ``lane.age`` is 1 or more."""
        ...

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        """[N] bool, whether it has to end at the state that was come to."""
        ...

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        """[N] what it does, in its space."""
        ...


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What an option may be made for.

    Attributes:
        layout: of the observations.
        rules: of trading.
        actor: scaled observations [N, O] → actions [N, 1] of the policy that training began with.
        scaled: raw observations → scaled ones.
    """

    layout: ObservationLayout
    rules: SimulatorConfig
    actor: nn.Module | None = None
    scaled: Callable[[Tensor], Tensor] | None = None


MakeOption: TypeAlias = Callable[[Surroundings], Option]

_RULES = "offline_trader.learning.options.rules:"
OPTIONS: Registry[MakeOption] = Registry(
    "option",
    {
        "open_long": f"{_RULES}open_long",
        "close": f"{_RULES}close",
        "trend_follow": f"{_RULES}trend_follow",
        "scalp": f"{_RULES}scalp",
        "wait": f"{_RULES}wait",
        "policy": f"{_RULES}learned_policy",
    },
)
"""Makers of options by name."""
