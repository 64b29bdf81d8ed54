"""The seven legacy actions, mapped onto the continuous range and back."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from offline_trader.errors import ConfigError

__all__ = ["LEGACY_ACTIONS", "DiscreteActions", "HybridActions", "from_discrete", "to_discrete"]

LEGACY_ACTIONS: tuple[str, ...] = (
    "HOLD",
    "BUY_SMALL",
    "BUY_MEDIUM",
    "BUY_LARGE",
    "SELL_PARTIAL",
    "SELL_ALL",
    "ADD_TO_WINNER",
)
_VALUES = np.array([0.0, 0.25, 0.5, 1.0, -0.5, -1.0, 0.5], dtype=np.float32)
_ADD = LEGACY_ACTIONS.index("ADD_TO_WINNER")
_MEDIUM = LEGACY_ACTIONS.index("BUY_MEDIUM")
_FIRST_SIX = _VALUES[:_ADD]


def from_discrete(
    actions: NDArray[np.integer[Any]], unrealised_return: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Order-mode actions [N] of legacy actions [N].

    ADD_TO_WINNER buys with half of the cash while the position is in profit, and holds otherwise.

    Raises:
        ConfigError: a number outside 0 to 6.
    """
    actions = np.asarray(actions)
    if actions.size and (actions.min() < 0 or actions.max() >= len(LEGACY_ACTIONS)):
        raise ConfigError(f"legacy action {actions.min()} to {actions.max()}", expected="0 to 6")
    idle = (actions == _ADD) & (np.asarray(unrealised_return) <= 0.0)
    return np.where(idle, np.float32(0.0), _VALUES[actions])


def to_discrete(
    actions: NDArray[np.floating[Any]],
    hold_threshold: float = 0.1,
    unrealised_return: NDArray[np.floating[Any]] | None = None,
) -> NDArray[np.int64]:
    """Legacy actions [N] nearest to order-mode actions [N]; inside the hold zone it is HOLD.

    Six of the seven survive the round trip; ADD_TO_WINNER returns as BUY_MEDIUM or HOLD. With
    ``unrealised_return`` [N] a medium buy of a position in profit, which is the same order, is
    ADD_TO_WINNER: so all seven occur in a dataset of orders that is mapped onto them.
    """
    a = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0)
    distance = np.abs(a[..., None] - _FIRST_SIX)
    # Only buys are near a buy, only sells near a sell.
    distance = np.where(np.sign(a)[..., None] * _FIRST_SIX > 0.0, distance, np.inf)
    nearest = np.argmin(distance, axis=-1)
    found = np.where(np.abs(a) < hold_threshold, 0, nearest)
    if unrealised_return is not None:
        winning = np.asarray(unrealised_return) > 0.0
        found = np.where((found == _MEDIUM) & winning, _ADD, found)
    return found.astype(np.int64)


class DiscreteActions(gymnasium.ActionWrapper, RecordConstructorArgs):  # type: ignore[type-arg]
    """A trading environment in order mode with ``Discrete(7)`` actions.

    Raises:
        ConfigError: an environment that is not in order mode.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.ActionWrapper.__init__(self, env)
        mode = env.unwrapped.config.simulator.action_mode  # type: ignore[attr-defined]
        if mode != "order":
            raise ConfigError(f"action_mode = {mode!r}", expected="'order' for legacy actions")
        self.action_space = gymnasium.spaces.Discrete(len(LEGACY_ACTIONS))
        layout = env.unwrapped.simulator.market.layout  # type: ignore[attr-defined]
        self._profit_column = layout.names.index("unrealised_return")

    def action(self, action: Any) -> NDArray[np.float32]:
        """Continuous action [1] of a legacy action, given the position's profit now."""
        observation = self.env.unwrapped.simulator.observations[0]  # type: ignore[attr-defined]
        profit = observation[self._profit_column : self._profit_column + 1]
        return from_discrete(np.array([int(action)]), profit)


class HybridActions(DiscreteActions):
    """Accepts either: an integer is a legacy action, an array [1] a continuous one."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = env.action_space

    def action(self, action: Any) -> NDArray[np.float32]:
        """Continuous action [1] of either form."""
        if isinstance(action, int | np.integer):
            return super().action(action)
        return np.asarray(action, dtype=np.float32)
