"""Counterfactual replay: logged bars with other positions and actions, made as they are drawn.

Prices do not depend on our orders, and the portfolio's rules are known. So every logged bar tells
what any other portfolio would have met there under any other action: k such transitions for each
logged one are drawn anew with every batch, and nothing of them is kept. The features of a row stay,
its portfolio, action, reward and next portfolio are those of one call of the simulator.

Positions lie around the logged one at several scales (log-uniform), some anywhere, some at the
corners: uniform ones alone give rewards whose range swamps the neighbourhood of the optimum. The
actions lie likewise around the one that keeps the position.

The rewards are realised ones less ``carried · surprise``, the control variate of the direct stage
(``learning.stages.direct.forecast``), where surprises are given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import DataError
from offline_trader.learning.data.batch import Batch
from offline_trader.learning.data.preprocessing import Preprocessing
from offline_trader.learning.data.transforms import Columns
from offline_trader.learning.data.transitions import Transitions
from offline_trader.learning.settings import ReplayConfig
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = ["CounterfactualReplay", "ReplayMarket", "Replayed", "Replaying", "rows_of"]

_BLOCK = 4_096
_ROW, _EQUITY = "replay_row", "replay_equity"
_MOST_ROWS = 2**24  # the number of a bar is kept in single precision
_WRONG_SHARE = 0.01
_LARGEST_ERROR = 1e-3


class Replayed(NamedTuple):
    """What n decisions led to.

    Attributes:
        rewards: [n] float64, realised, in the unit of the dataset's.
        carried: [n, G] float64: how much of each of the row's gains is in the reward.
        seen: [n, P] float64, the portfolio's part of the next observation.
        terminals: [n] bool, ruin.
    """

    rewards: FloatArray
    carried: FloatArray
    seen: FloatArray
    terminals: BoolArray


class ReplayMarket(Protocol):
    """R logged decisions that can be taken again from any portfolio.

    The first of the P columns of a portfolio is its position.

    Attributes:
        features: [R, F] float32, the market's part of the raw observation.
        positions: lowest and highest position that the rules allow.
    """

    @property
    def features(self) -> NDArray[np.float32]: ...
    @property
    def positions(self) -> tuple[float, float]: ...

    def equity(self, data: Transitions) -> FloatArray:
        """[M] the account before each of the dataset's decisions, as far as the rules need it."""
        ...

    def keeping(self, position: FloatArray, actions: FloatArray) -> FloatArray:
        """[n] actions around which others are drawn: what keeps the position, where an action can
        say so; else the logged ``actions``."""
        ...

    def moved(
        self, rows: IntArray, seen: FloatArray, position: FloatArray, drawn: FloatArray
    ) -> FloatArray:
        """[n, P] the portfolios ``seen`` with another position, by numbers drawn from [0, 1).

        Args:
            rows: [n] of the log.
            seen: [n, P].
            position: [n].
            drawn: [n, 3].
        """
        ...

    def replay(
        self, rows: IntArray, seen: FloatArray, equity: FloatArray, actions: FloatArray
    ) -> Replayed:
        """The decisions ``actions`` [n] at ``rows`` [n] from portfolios [n, P], by one call."""
        ...


class Replaying:
    """Turns k of k + 1 rows of every batch into replays; what the rows' bars are, others say.

    Args:
        market: bars and rules.
        config: how many, how far.
        preprocessing: scales of the rows; the reward's may be fitted later (:meth:`scale_rewards`).
        surprises: [R, G] what is taken off a reward for a unit carried; none: nothing.
        seed: of all draws.

    Raises:
        DataError: more bars than single precision can number.
    """

    columns: tuple[tuple[str, int], ...] = ((_ROW, 1), (_EQUITY, 1))
    _centre, _spread = 0.0, math.inf

    def __init__(
        self,
        market: ReplayMarket,
        config: ReplayConfig,
        preprocessing: Preprocessing,
        surprises: FloatArray | None = None,
        seed: int = 0,
    ) -> None:
        if len(market.features) > _MOST_ROWS:
            raise DataError(f"{len(market.features):,} bars", expected=f"{_MOST_ROWS:,} at most")
        self._market, self._config = market, config
        self._surprises = surprises
        self._width = market.features.shape[1]
        self._mean = preprocessing.mean[self._width :]
        self._scale = preprocessing.scale[self._width :]
        self._reward = (0.0, 1.0)
        self._generator = torch.Generator().manual_seed(seed)
        self._replayed, self._drawn = 0, 0

    def _of_bars(
        self, columns: Columns, rows: IntArray, equity: FloatArray
    ) -> dict[str, NDArray[Any]]:
        """The columns with the bar of each row (−1: none that is known) and its account."""
        return {**columns, _ROW: rows, _EQUITY: equity}

    def _noise(self, rows: IntArray, carried: FloatArray) -> FloatArray | float:
        """[n] the part of rewards that nobody could foretell."""
        if self._surprises is None:
            return 0.0
        return np.asarray((carried * self._surprises[rows]).sum(axis=1))

    def scale_rewards(self, preprocessing: Preprocessing) -> None:
        """Take over the scale of rewards, once it is known."""
        if preprocessing.reward is not None:
            self._reward = (preprocessing.reward.mean, preprocessing.reward.scale)

    def sampled(self, batch: Batch) -> Batch:
        """The batch with all but every (k + 1)-th of its rows replayed; written in place."""
        size = len(batch.matrix)
        first = size // (self._config.per_logged + 1)
        n = size - first
        logged = {name: batch[name][first:].cpu().numpy().astype(np.float64) for name in _READ}
        rows = logged[_ROW][:, 0].astype(np.int64)
        known = rows >= 0
        rows = np.where(known, rows, rows[known][0] if known.any() else 0)
        seen = logged["observations"][:, self._width :] * self._scale + self._mean
        draws = torch.rand(n, 9, generator=self._generator, dtype=torch.float64).numpy()
        position = self._positions(seen[:, 0], draws[:, :3])
        drawn = self._actions(position, logged["actions"][:, 0], draws[:, 3:6])
        actions = drawn.astype(np.float32).astype(np.float64)  # what the row will hold
        before = self._market.moved(rows, seen, position, draws[:, 6:])
        after = self._market.replay(rows, before, logged[_EQUITY][:, 0], actions)
        raw = after.rewards - self._noise(rows, after.carried)
        mean, scale = self._reward
        most = self._config.largest_reward * self._spread
        raw = np.clip(raw, self._centre - most, self._centre + most)
        changed = {
            "actions": actions[:, None],
            "next_actions": np.zeros((n, 1)),
            "rewards": ((raw - mean) / scale)[:, None],
            "raw_rewards": after.rewards[:, None],
            "returns_to_go": np.zeros((n, 1)),
            "terminals": after.terminals[:, None],
            "timeouts": logged["timeouts"] * ~after.terminals[:, None],
        }
        places = torch.from_numpy(first + np.flatnonzero(known)).to(batch.matrix.device)
        _write(batch, places, known, changed)
        for name, portfolio in (("observations", before), ("next_observations", after.seen)):
            values = torch.from_numpy(((portfolio - self._mean) / self._scale)[known])
            batch[name][places, self._width :] = values.to(batch.matrix)
        self._replayed += int(known.sum())
        self._drawn += size
        return batch

    def _positions(self, logged: FloatArray, draws: FloatArray) -> FloatArray:
        low, high = self._market.positions
        corners = (low, 0.0 if low < 0.0 else low, high)
        return self._around(logged, draws, (low, high), corners)

    def _actions(self, position: FloatArray, logged: FloatArray, draws: FloatArray) -> FloatArray:
        centre = self._market.keeping(position, logged)
        return self._around(centre, draws, (-1.0, 1.0), (-1.0, 0.0, 1.0))

    def _around(
        self,
        centre: FloatArray,
        draws: FloatArray,
        limits: tuple[float, float],
        corners: tuple[float, float, float],
    ) -> FloatArray:
        """[n] near ``centre`` at several scales, anywhere within ``limits``, or at ``corners``."""
        config, (low, high) = self._config, limits
        kind, scaled, where = draws.T
        least, most = math.log(config.smallest), math.log(config.largest)
        spread = np.exp(least + (most - least) * scaled) * (high - low) / 2.0
        near = np.clip(centre + spread * _normal(where), low, high)
        anywhere = low + (high - low) * where
        cornered = np.take(corners, (3.0 * where).astype(np.int64))
        far = np.where(kind < config.near + config.uniform, anywhere, cornered)
        return np.asarray(np.where(kind < config.near, near, far))

    def metrics(self) -> Mapping[str, float]:
        """Share of the rows since the last call that are replays."""
        share = self._replayed / max(self._drawn, 1)
        self._replayed, self._drawn = 0, 0
        return {"replayed": share}

    def state_dict(self) -> dict[str, Any]:
        """Where the draws stand."""
        counts = [self._replayed, self._drawn]
        return {"generator": self._generator.get_state(), "counts": counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._generator.set_state(state["generator"])
        self._replayed, self._drawn = (int(count) for count in state["counts"])


class CounterfactualReplay(Replaying):
    """Replays of offline data; a transform of what is sampled.

    Rows whose bar is not found, because no logged features or several are the same, stay as they
    are.

    Args:
        market: the bars that ``data`` were collected on.
        data: the offline data, in the order in which they will be packed.
        config: how many, how far.
        preprocessing: as for :class:`Replaying`.
        surprises: as for :class:`Replaying`.
        seed: of all draws.

    Raises:
        DataError: bars that are not those of the data, or rewards that their replay does not give.
    """

    def __init__(
        self,
        market: ReplayMarket,
        data: Transitions,
        config: ReplayConfig,
        preprocessing: Preprocessing,
        surprises: FloatArray | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(market, config, preprocessing, surprises, seed)
        self.rows = rows_of(market.features, data.observations)
        self._equity = market.equity(data)
        self.rewards = self._checked(data)
        self._centre, self._spread = float(self.rewards.mean()), float(self.rewards.std())

    def _checked(self, data: Transitions) -> NDArray[np.float32]:
        """[M] logged rewards less their surprise, after a replay of what was logged."""
        found = np.flatnonzero(self.rows >= 0)
        if 2 * len(found) < len(data):
            raise DataError(
                f"{len(data) - len(found):,} of {len(data):,} transitions match no bar",
                expected="the bars that the dataset was collected on",
            )
        rewards, wrong = data.rewards.astype(np.float64), []
        for start in range(0, len(found), _BLOCK):
            part = found[start : start + _BLOCK]
            seen = data.observations[part, self._width :].astype(np.float64)
            actions = data.actions[part, 0].astype(np.float64)
            again = self._market.replay(self.rows[part], seen, self._equity[part], actions)
            error = np.abs(again.rewards - data.rewards[part])
            wrong.append(part[error > _LARGEST_ERROR * (np.abs(data.rewards[part]) + 0.01)])
            rewards[part] -= self._noise(self.rows[part], again.carried)
        amiss = np.concatenate(wrong)
        if len(amiss) > _WRONG_SHARE * len(found):
            raise DataError(
                f"the replay of {len(amiss):,} of {len(found):,} transitions gives another reward "
                f"than was logged, first of transition {amiss[0]}",
                expected="the bars and the trading rules that the dataset was collected with",
            )
        return rewards.astype(np.float32)

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The rows with their bar and their account, and rewards less their surprise.

        Args:
            columns: of the offline data as they were given to this transform.
            online: has to be False.
        """
        assert not online, "rows of the lanes come from no log"
        return self._of_bars({**columns, "rewards": self.rewards}, self.rows, self._equity)


_READ = ("observations", "actions", "timeouts", _ROW, _EQUITY)


def _write(
    batch: Batch, places: Tensor, known: BoolArray, changed: Mapping[str, NDArray[Any]]
) -> None:
    for name, values in changed.items():
        batch[name][places] = torch.from_numpy(values[known]).to(batch.matrix)


def _normal(uniform: FloatArray) -> FloatArray:
    """[n] standard normal numbers of uniform ones."""
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(uniform, 1e-12, 1.0 - 1e-12)))


def rows_of(features: NDArray[np.float32], observations: NDArray[np.float32]) -> IntArray:
    """[M] row of ``features`` [R, F] whose bytes each observation begins with; −1: not exactly one.

    A market without features has no rows to find.
    """
    width = features.shape[1]
    if width == 0:
        return np.full(len(observations), -1, np.int64)
    keys, rows, counts = np.unique(_as_keys(features), return_index=True, return_counts=True)
    wanted = _as_keys(observations[:, :width])
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = (keys[place] == wanted) & (counts[place] == 1)
    return np.where(found, rows[place], -1).astype(np.int64)


def _as_keys(values: NDArray[np.float32]) -> NDArray[Any]:
    """[n] the bytes of each row; −0 as 0."""
    plain = np.ascontiguousarray(values + np.float32(0.0))
    return plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize)))[:, 0]
