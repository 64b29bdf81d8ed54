"""Rolling N lanes through the simulator into arrays in Minari's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline_trader.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from offline_trader.experts import MixtureActor
    from offline_trader.simulator import Simulator, StepResult

__all__ = ["INFO_NAMES", "Part", "roll"]

Float32Array = NDArray[np.float32]

INFO_NAMES: tuple[str, ...] = (
    # profit of closed trades since the episode's start, quote currency
    "realised_profit",
    # profit of the open position, quote currency
    "unrealised_profit",
    # equity / running maximum − 1, in [−1, 0]
    "drawdown",
    # equity / initial cash − 1
    "cumulative_return",
    # signed units filled by the step's order
    "fill_units",
    # price of that fill, quote currency; 0 without one
    "fill_price",
    # commission, spread, slippage, impact and borrow since the episode's start, quote currency
    "costs_paid",
    # row of the collected range that the observation is of
    "bar_index",
    # the expert's own action for the step, before noise
    "expert_action",
)
_OUTCOMES = INFO_NAMES[:-2]


@dataclass(frozen=True)
class Part:
    """E episodes with S steps in all, one after another: what Minari stores, concatenated.

    Attributes:
        lengths: [E] steps of each episode.
        observations: [S + E, O] float32: every episode has one observation more than steps.
        actions: [S, 1] float32 executed actions.
        rewards: [S] float64.
        terminations, truncations: [S] bool; an episode cut by the end of the rollout is truncated.
        behaviours: [E] index of the behaviour that acted.
        infos: name → [S + E]; the first entry of an episode is that of its reset.
    """

    lengths: IntArray
    observations: Float32Array
    actions: Float32Array
    rewards: FloatArray
    terminations: BoolArray
    truncations: BoolArray
    behaviours: IntArray
    infos: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """S."""
        return int(self.rewards.shape[0])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array by a flat name, infos as ``info.NAME``; :meth:`from_arrays` inverts it."""
        named = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "infos"}
        return {**named, **{f"info.{name}": values for name, values in self.infos.items()}}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> Part:
        """A part from :meth:`arrays`' form."""
        infos = {k.removeprefix("info."): v for k, v in arrays.items() if k.startswith("info.")}
        named = {k: v for k, v in arrays.items() if not k.startswith("info.")}
        return cls(**named, infos=infos)  # type: ignore[arg-type]


def roll(
    simulator: Simulator,
    actor: MixtureActor,
    n_steps: int,
    progress: Callable[[int], None] | None = None,
) -> Part:
    """The episodes of ``n_steps`` steps of every lane, from a reset.

    Args:
        simulator: N lanes.
        actor: acts for the same N lanes.
        n_steps: steps a lane; an episode that is not over then is truncated there.
        progress: called now and then with the steps done by all lanes together.
    """
    record = _Record(simulator, n_steps)
    observations = simulator.reset()
    for t in range(n_steps):
        rows = simulator.bar_index
        record.decide(t, observations, rows, actor.behaviour)
        executed, own = actor.act(observations, rows)
        result = simulator.step(executed)
        ended = record.store(t, executed, own, result)
        actor.begin(ended)
        observations = result.observations
        if progress is not None and (t + 1) % 100 == 0:
            progress((t + 1) * simulator.n_lanes)
    record.decide(n_steps, observations, simulator.bar_index, actor.behaviour)
    return record.part()


class _Record:
    """Lane-major buffers of a rollout of L steps, one row more where Minari has one more.

    While every lane has one episode, which is the rule, the buffers are the part as they lie.
    """

    def __init__(self, simulator: Simulator, n_steps: int) -> None:
        n, width = simulator.n_lanes, simulator.observation_size
        self._simulator = simulator
        self._observations = np.empty((n, n_steps + 1, width), dtype=np.float32)
        self._infos: dict[str, NDArray[np.generic]] = {
            name: np.zeros((n, n_steps + 1)) for name in INFO_NAMES
        }
        self._infos["bar_index"] = np.zeros((n, n_steps + 1), dtype=np.int64)
        self._behaviours = np.empty((n, n_steps + 1), dtype=np.int16)
        self._actions = np.empty((n, n_steps), dtype=np.float32)
        self._rewards = np.empty((n, n_steps), dtype=np.float64)
        self._terminated = np.zeros((n, n_steps), dtype=np.bool_)
        self._ended = np.zeros((n, n_steps), dtype=np.bool_)
        self._finals: list[tuple[int, IntArray, Float32Array, IntArray]] = []

    def decide(
        self, t: int, observations: Float32Array, rows: IntArray, behaviours: IntArray
    ) -> None:
        """Keep what step ``t`` starts from."""
        self._observations[:, t] = observations
        self._infos["bar_index"][:, t] = rows
        self._behaviours[:, t] = behaviours

    def store(
        self, t: int, executed: Float32Array, own: Float32Array, result: StepResult
    ) -> BoolArray:
        """Keep what step ``t`` did and what came of it; which lanes [N] it ended."""
        ended = result.terminated | result.truncated
        self._actions[:, t] = executed
        self._rewards[:, t] = result.rewards
        self._terminated[:, t] = result.terminated
        self._ended[:, t] = ended
        outcome = self._simulator.outcome()
        for name in _OUTCOMES:
            self._infos[name][:, t + 1] = outcome[name]
        self._infos["expert_action"][:, t + 1] = own
        lanes = np.flatnonzero(ended)
        if lanes.size:
            final = self._simulator.final_observations[lanes].copy()
            bars = self._infos["bar_index"][lanes, t] + 1
            self._finals.append((t, lanes, final, bars))
        return ended

    def part(self) -> Part:
        """The recorded episodes, lane after lane."""
        n, n_steps = self._ended.shape
        for t, lanes, final, bars in self._finals:
            if t == n_steps - 1:  # the next episode's start was recorded there
                self._observations[lanes, n_steps] = final
                self._infos["bar_index"][lanes, n_steps] = bars
        last = self._ended.copy()
        last[:, -1] = True
        stops = np.flatnonzero(last)
        observations, infos = self._observations, self._infos
        if len(stops) > n:
            observations, infos = self._with_inner_ends(last)
        terminations = self._terminated.ravel()
        return Part(
            lengths=np.diff(np.concatenate([[-1], stops])).astype(np.int64),
            observations=observations.reshape(-1, observations.shape[-1]),
            actions=self._actions.reshape(-1, 1),
            rewards=self._rewards.ravel(),
            terminations=terminations,
            truncations=last.ravel() & ~terminations,
            behaviours=self._behaviours[:, :n_steps].ravel()[stops].astype(np.int64),
            infos={name: values.ravel() for name, values in infos.items()},
        )

    def _with_inner_ends(
        self, last: BoolArray
    ) -> tuple[Float32Array, dict[str, NDArray[np.generic]]]:
        """Observations and infos [S + E, …] with room for the ends within a lane's rows.

        After such an end the buffers hold the next episode's start where the final observation
        belongs: every later row of the lane moves down by one, and a reset's info is zeros.
        """
        n, n_steps = last.shape
        rows = np.arange(n * (n_steps + 1)).reshape(n, n_steps + 1)
        before: IntArray = np.cumsum(last.ravel()).reshape(n, n_steps) - last
        moved = rows[:, :-1] - rows[:, :1] // (n_steps + 1) + before
        total = n * n_steps + int(last.sum())
        finals = [(moved[lanes, t] + 1, final, bars) for t, lanes, final, bars in self._finals]
        cut = moved[:, -1] + 1
        observations = np.empty((total, self._observations.shape[2]), dtype=np.float32)
        observations[moved] = self._observations[:, :-1]
        observations[cut] = self._observations[:, -1]
        infos: dict[str, NDArray[np.generic]] = {}
        for name, values in self._infos.items():
            infos[name] = np.zeros(total, dtype=values.dtype)
            if name == "bar_index":
                infos[name][moved] = values[:, :-1]
                infos[name][cut] = values[:, -1]
            else:
                infos[name][moved + 1] = values[:, 1:]
        for places, final, bars in finals:
            observations[places] = final
            infos["bar_index"][places] = bars
        return observations, infos
