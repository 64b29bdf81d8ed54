"""Action collapse: what one deterministic evaluation's actions show, and the verdicts.

Entropy alone cannot tell a good bang-bang policy from noise (both fill two bins), and bang-bang
is optimal under proportional costs; the mutual information between action and state can. Both
are always shown together.

Sources: Miller (1955) for the entropy's bias; Sokar et al., "The dormant neuron phenomenon in
deep RL" (2023), eq. 1; Kumar et al., "Implicit under-parameterization" (2021) for srank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = [
    "N_BINS",
    "CollapseMeasures",
    "CollapseThresholds",
    "action_bins",
    "collapse_measures",
    "dormant_ratio",
    "effective_rank",
    "mutual_information",
    "quantile_codes",
    "state_cells",
    "state_coverage",
    "verdicts_of",
]

N_BINS = 21
N_DECILES = 10


@dataclass(frozen=True)
class CollapseThresholds:
    """Where a verdict begins (evaluation.md's values)."""

    n_effective: float = 1.5
    std: float = 0.02
    hold_share: float = 0.98
    mi_norm: float = 0.02
    saturation: float = 0.95


@dataclass(frozen=True)
class CollapseMeasures:
    """Measures over n actions, with the verdicts they give.

    Attributes:
        n: number of actions.
        h_norm: Miller–Madow entropy of 21 bins ÷ ln 21, at most 1.
        n_effective: e^H of the plain entropy: 1 for one bin.
        action_entropy: entropy of {sell, hold, buy} in nats.
        mi_norm: mutual information of action bin and state decile ÷ ln 10, less the mean of its
            permutation null; the greatest over the state's columns, in [0, 1]: less than chance is
            nothing. None without states.
        mi_null_95: 95 % quantile of the corrected null, in the same unit.
        mi_column: the column that the greatest value belongs to.
        std: standard deviation of the actions.
        saturation: share of |a| > 0.98.
        largest_share: share of the fullest of the 21 bins.
        largest_side: share of the fullest of {sell, hold, buy}.
        hold_share: share of holds.
        diversity: bins with at least 1 % of the mass ÷ 21.
        trades_per_1000: filled orders per 1,000 steps; None if not told.
        voluntary_trade_rate: filled orders that the policy asked for ÷ steps; None if not told.
        verdicts: those of :func:`verdicts_of`, as they apply.
    """

    n: int
    h_norm: float
    n_effective: float
    action_entropy: float
    mi_norm: float | None
    mi_null_95: float | None
    mi_column: int | None
    std: float
    saturation: float
    largest_share: float
    largest_side: float
    hold_share: float
    diversity: float
    trades_per_1000: float | None
    voluntary_trade_rate: float | None
    verdicts: tuple[str, ...]

    def to_dict(self) -> dict[str, float | None]:
        """The numbers by name, without the verdicts."""
        return {name: value for name, value in asdict(self).items() if name != "verdicts"}


def collapse_measures(
    actions: ArrayLike,
    states: ArrayLike | None = None,
    *,
    rng: np.random.Generator,
    directions: ArrayLike | None = None,
    traded: BoolArray | None = None,
    voluntary: BoolArray | None = None,
    permutations: int = 100,
    hold_threshold: float = 0.1,
    thresholds: CollapseThresholds | None = None,
    learned: bool = True,
) -> CollapseMeasures:
    """Measures of the actions of one deterministic evaluation.

    Args:
        actions: [n] or [n, 1] in [−1, 1].
        states: [n] or [n, S] observations that the actions were computed from.
        rng: draws the permutations.
        directions: [n] −1 where it sold, 0 where it held, 1 where it bought: what was executed;
            by default the sign of the action, and a hold where |a| < ``hold_threshold``.
        traded: [n] where an order was filled.
        voluntary: [n] where an order of the policy itself was filled (no stop, no liquidation);
            ``traded`` by default.
        permutations: size of the null sample of the mutual information.
        learned: the actions are those of a policy that was trained, not of a person's rule.

    Raises:
        DataError: no actions, actions outside [−1, 1], or arrays of different lengths.
    """
    a = _actions(actions)
    side = np.where(np.abs(a) < hold_threshold, 0.0, np.sign(a))
    if directions is not None:
        side = np.sign(np.asarray(directions, dtype=np.float64))
    fills = None if traded is None else np.asarray(traded, dtype=np.bool_)
    asked = fills if voluntary is None else np.asarray(voluntary, dtype=np.bool_)
    for name, each in {"directions": side, "traded": fills, "voluntary": asked}.items():
        if each is not None and each.shape != a.shape:
            raise DataError(f"{name} of shape {each.shape}", expected=f"[{a.size}], as actions")
    shares = np.bincount(action_bins(a), minlength=N_BINS) / a.size
    sides = np.array([np.mean(side == way) for way in (-1.0, 0.0, 1.0)])
    entropy = _entropy(shares)
    correction = (np.count_nonzero(shares) - 1) / (2 * a.size)
    mi, null, column = None, None, None
    if states is not None:
        mi, null, column = mutual_information(a, states, rng=rng, permutations=permutations)
    measures = CollapseMeasures(
        n=a.size,
        # the correction can lead beyond the entropy of equal bins: no entropy is greater
        h_norm=min(1.0, (entropy + correction) / math.log(N_BINS)),
        n_effective=math.exp(entropy),
        action_entropy=_entropy(sides),
        mi_norm=mi,
        mi_null_95=null,
        mi_column=column,
        std=float(a.std()),
        saturation=float(np.mean(np.abs(a) > 0.98)),
        largest_share=float(shares.max()),
        largest_side=float(sides.max()),
        hold_share=float(sides[1]),
        diversity=float(np.count_nonzero(shares >= 0.01) / N_BINS),
        trades_per_1000=None if fills is None else float(1000.0 * fills.mean()),
        voluntary_trade_rate=None if asked is None else float(asked.mean()),
        verdicts=(),
    )
    found = verdicts_of(measures.to_dict(), learned=learned, thresholds=thresholds)
    return replace(measures, verdicts=tuple(found))


def verdicts_of(
    measures: Mapping[str, float | None],
    *,
    learned: bool = True,
    thresholds: CollapseThresholds | None = None,
) -> dict[str, str]:
    """The verdicts that apply, each with the rules that fired and their values.

    What was executed is judged: a request that fills nothing is no activity.

    Args:
        measures: those of :class:`CollapseMeasures` by name.
        learned: of a trained policy. A person's rule may wait: it is ``inactive`` where nothing
            was filled and ``rare`` where a policy would be COLLAPSED, because it was not learned.
        thresholds: where a verdict begins.

    Returns:
        ``COLLAPSED`` (or ``inactive``, ``rare``), ``STATE-BLIND``, ``SATURATED`` → the reason.
    """
    limits = thresholds or CollapseThresholds()
    found = {}
    never = measures.get("trades_per_1000") == 0.0
    few = []
    held, effective, spread = (measures.get(name) for name in ("hold_share", "n_effective", "std"))
    if held is not None and held > limits.hold_share:
        few.append(f"{held:.1%} of the bars hold, more than {limits.hold_share:.0%}")
    if effective is not None and effective < limits.n_effective:
        few.append(f"{effective:.2f} effective actions, fewer than {limits.n_effective:g}")
    if spread is not None and spread < limits.std:
        few.append(f"standard deviation of the actions {spread:.3f}, below {limits.std:g}")
    if never:
        n = measures.get("n")
        bars = "" if n is None else f" on {n:,.0f} bars"
        found["COLLAPSED" if learned else "inactive"] = f"never trades: no order was filled{bars}"
    elif few:
        found["COLLAPSED" if learned else "rare"] = "; ".join(few)
    information = measures.get("mi_norm")
    if information is not None and information < limits.mi_norm:
        found["STATE-BLIND"] = (
            f"mutual information with the state {information:.3f}, below {limits.mi_norm:g}"
        )
    saturation = measures.get("saturation")
    if saturation is not None and saturation > limits.saturation:
        found["SATURATED"] = (
            f"{saturation:.1%} of the actions beyond ±0.98, more than {limits.saturation:.0%}"
        )
    return found


def action_bins(actions: FloatArray) -> IntArray:
    """[n] index of the equal bin on [−1, 1], 0 … 20."""
    index = np.floor((actions + 1.0) * (N_BINS / 2.0)).astype(np.int64)
    return np.minimum(index, N_BINS - 1)


def quantile_codes(states: ArrayLike, groups: int = N_DECILES) -> IntArray:
    """[n, S] quantile group of each column, 0 … groups − 1.

    Equal values share a group, so a column with few values uses fewer groups.
    """
    values = np.asarray(states, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values.reshape(len(values), -1)
    shares = np.arange(1, groups) / groups
    codes = np.empty(values.shape, dtype=np.int64)
    for s, column in enumerate(np.ascontiguousarray(values.T)):
        codes[:, s] = np.searchsorted(np.unique(np.quantile(column, shares)), column, side="right")
    return codes


def mutual_information(
    actions: FloatArray,
    states: ArrayLike,
    *,
    rng: np.random.Generator,
    permutations: int = 100,
) -> tuple[float, float, int]:
    """Normalised mutual information of action bin and state decile, corrected for its bias.

    For each column of the state: I(bin; decile) ÷ ln 10 minus its mean over permutations of the
    actions. The same permutations serve all columns, so the null of the greatest value accounts
    for the choice of the column.

    Returns:
        the greatest corrected value (0 where it is below chance), the 95 % quantile of the
        greatest corrected value under permutation, and the column of the greatest.
    """
    codes = quantile_codes(states)
    if len(codes) != len(actions):
        raise DataError(f"{len(codes)} states for {len(actions)} actions", expected="as many")
    _, bins = np.unique(action_bins(actions), return_inverse=True)
    margins = _margins(bins, codes)
    observed = _information(bins, codes, *margins)
    null = np.stack(
        [_information(rng.permutation(bins), codes, *margins) for _ in range(permutations)]
    )
    bias = null.mean(axis=0)
    column = int(np.argmax(observed - bias))
    scale = math.log(N_DECILES)
    return (
        max(0.0, float((observed - bias)[column] / scale)),
        float(np.quantile((null - bias).max(axis=1), 0.95) / scale),
        column,
    )


def _margins(bins: NDArray[np.int64], codes: IntArray) -> tuple[IntArray, IntArray]:
    """[width] rows in each bin, [S, 10] rows in each column's group."""
    groups = np.stack([np.bincount(column, minlength=N_DECILES) for column in codes.T])
    return np.bincount(bins), groups


def _information(
    bins: NDArray[np.int64], codes: IntArray, rows: IntArray, groups: IntArray
) -> FloatArray:
    """[S] plug-in mutual information in nats between [n] bins and each column's codes.

    ``rows`` and ``groups`` are the margins, which a permutation of the bins does not change.
    """
    from offline_trader.evaluation.measures.counting import count_pairs

    commonest = int(rows.argmax())
    counts = np.zeros((rows.size, *groups.shape), dtype=np.int64)
    count_pairs(bins, codes, commonest, counts)
    counts[commonest] = groups - counts.sum(axis=0)
    joint = counts / len(bins)
    h_joint = _plogp(joint).sum(axis=(0, 2))
    h_bins = _plogp(joint[:, 0].sum(axis=1)).sum()
    h_codes = _plogp(joint.sum(axis=0)).sum(axis=1)
    return np.asarray(h_joint - h_bins - h_codes)


def _plogp(p: FloatArray) -> FloatArray:
    return np.asarray(p * np.log(np.where(p > 0, p, 1.0)))


def _entropy(shares: FloatArray) -> float:
    return abs(float(_plogp(shares).sum()))


def state_cells(exposure: ArrayLike, hold_bars: ArrayLike, regime: ArrayLike) -> IntArray:
    """[n] code of the cell of exposure × holding time × regime that each step was in.

    Exposure: 11 equal bins on [−1, 1]. Holding time: 0, 1, 2–3, 4–7, … bars, doubling, up to
    128 and more. Regime: its non-negative label.
    """
    side = np.clip(np.floor((np.asarray(exposure, dtype=np.float64) + 1.0) * 5.5), 0, 10)
    age = np.asarray(hold_bars, dtype=np.float64)
    time = np.where(age < 1, 0, np.minimum(np.floor(np.log2(np.maximum(age, 1.0))) + 1, 8))
    label = np.asarray(regime, dtype=np.int64)
    return side.astype(np.int64) + 11 * time.astype(np.int64) + 99 * label


def state_coverage(visited: IntArray, reachable: IntArray) -> float | None:
    """Share of the cells that a random policy reached (with ten times the steps) visited here."""
    reference = np.unique(reachable)
    if reference.size == 0:
        return None
    return float(np.isin(reference, visited).mean())


def dormant_ratio(activations: ArrayLike, threshold: float = 0.025) -> float:
    """Share of units with mean |h| at most ``threshold`` times the layer's average.

    Args:
        activations: [n, units] of one hidden layer over n states.
    """
    score = np.abs(_matrix(activations)).mean(axis=0)
    return float(np.mean(score <= threshold * score.mean()))


def effective_rank(activations: ArrayLike, delta: float = 0.01) -> int:
    """srank: fewest singular values of [n, units] features that hold 1 − δ of their sum."""
    singular = np.linalg.svd(_matrix(activations), compute_uv=False)
    if singular.sum() == 0:
        return 0
    share = np.cumsum(singular) / singular.sum()
    return int(np.searchsorted(share, 1.0 - delta) + 1)


def _matrix(activations: ArrayLike) -> FloatArray:
    h = np.asarray(activations, dtype=np.float64)
    if h.ndim != 2 or h.size == 0:
        raise DataError(f"activations of shape {h.shape}", expected="[states, units]")
    return h


def _actions(actions: ArrayLike) -> FloatArray:
    a = np.asarray(actions, dtype=np.float64).reshape(-1)
    if a.size == 0:
        raise DataError("no actions", expected="at least one step")
    if not (np.abs(a) <= 1.0).all():
        bad = int(np.flatnonzero(~(np.abs(a) <= 1.0))[0])
        raise DataError(f"action {bad} is {a[bad]}", expected="a number in [-1, 1]")
    return a
