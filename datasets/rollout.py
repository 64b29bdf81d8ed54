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
        record.observations[t] = observations
        record.bars[t] = rows
        record.behaviours[t] = actor.behaviour
        executed, own = actor.act(observations, rows)
        result = simulator.step(executed)
        record.store(t, executed, own, result)
        actor.begin(record.ended[t])
        observations = result.observations
        if progress is not None and (t + 1) % 100 == 0:
            progress((t + 1) * simulator.n_lanes)
    record.observations[n_steps] = observations
    return record.part()


class _Record:
    """Time-major buffers of a rollout, turned lane-major once at the end."""

    def __init__(self, simulator: Simulator, n_steps: int) -> None:
        n, width = simulator.n_lanes, simulator.observation_size
        self._simulator = simulator
        self.observations = np.empty((n_steps + 1, n, width), dtype=np.float32)
        self.bars = np.empty((n_steps, n), dtype=np.int64)
        self.behaviours = np.empty((n_steps, n), dtype=np.int64)
        self.ended = np.zeros((n_steps, n), dtype=np.bool_)
        self._terminated = np.zeros((n_steps, n), dtype=np.bool_)
        self._actions = np.empty((n_steps, n), dtype=np.float32)
        self._rewards = np.empty((n_steps, n), dtype=np.float64)
        self._infos = {name: np.empty((n_steps, n)) for name in (*_OUTCOMES, "expert_action")}
        self._finals: list[tuple[int, IntArray, Float32Array]] = []

    def store(self, t: int, executed: Float32Array, own: Float32Array, result: StepResult) -> None:
        """Keep step ``t``: what was done, and what came of it."""
        self._actions[t] = executed
        self._rewards[t] = result.rewards
        self._terminated[t] = result.terminated
        self.ended[t] = result.terminated | result.truncated
        outcome = self._simulator.outcome()
        for name in _OUTCOMES:
            self._infos[name][t] = outcome[name]
        self._infos["expert_action"][t] = own
        lanes = np.flatnonzero(self.ended[t])
        if lanes.size:
            self._finals.append((t, lanes, self._simulator.final_observations[lanes].copy()))

    def part(self) -> Part:
        """The recorded episodes, lane after lane."""
        n_steps, n = self.ended.shape
        complete = self.ended[-1].copy()
        ends = self.ended.copy()
        ends[-1] = True
        last = ends.T.ravel()
        stops = np.flatnonzero(last)
        lengths = np.diff(np.concatenate([[-1], stops]))
        # Step i of the flat order is row i + (episodes that ended before it) of the observations.
        row = np.arange(n * n_steps) + np.cumsum(last) - last
        terminated = self._terminated.T.ravel()
        observations = self._with_finals(row, complete)
        infos: dict[str, NDArray[np.generic]] = {}
        for name, values in self._infos.items():
            shifted = np.zeros(len(row) + len(stops))
            shifted[row + 1] = values.T.ravel()
            infos[name] = shifted
        bars = np.empty(len(row) + len(stops), dtype=np.int64)
        bars[row + 1] = self.bars.T.ravel() + 1
        bars[row] = self.bars.T.ravel()
        infos["bar_index"] = bars
        return Part(
            lengths=lengths.astype(np.int64),
            observations=observations,
            actions=np.ascontiguousarray(self._actions.T).reshape(-1, 1),
            rewards=np.ascontiguousarray(self._rewards.T).ravel(),
            terminations=terminated,
            truncations=last & ~terminated,
            behaviours=self.behaviours.T.ravel()[stops],
            infos=infos,
        )

    def _with_finals(self, row: IntArray, complete: BoolArray) -> Float32Array:
        """Observations [S + E]: those of the steps at ``row``, each episode's final one after."""
        n_steps = self.ended.shape[0]
        width = self.observations.shape[2]
        flat = np.empty((int(row[-1]) + 2, width), dtype=np.float32)
        flat[row] = self.observations[:-1].transpose(1, 0, 2).reshape(-1, width)
        for t, lanes, final in self._finals:
            flat[row[lanes * n_steps + t] + 1] = final
        cut = np.flatnonzero(~complete)
        flat[row[cut * n_steps + n_steps - 1] + 1] = self.observations[n_steps, cut]
        return flat
