"""Test vectors beside a model: bars, and what features, account and model make of them.

Whoever computes the features in another language, or runs the model in another runtime, feeds it
``bars.csv`` and compares with ``features.csv`` and ``decisions.csv``; ``vectors.json`` names the
model's tensors, the rules and the tolerances. The bars are made up, so nothing of the training's
market leaves with the model; they hold a stretch that stands still and a gap. They come from
counters and plain arithmetic, so every machine makes the same ones.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.codec import to_json
from offline_trader.config import to_dict
from offline_trader.features import FeatureSet, compute_features, may_miss
from offline_trader.goals import Horizons
from offline_trader.hashing import bytes_sha256
from offline_trader.markets import BAR_COLUMNS, Bars
from offline_trader.runs import atomic_write
from offline_trader.serving.decisions import Decision
from offline_trader.serving.session import Session
from offline_trader.splitmix import GOLDEN, mix
from offline_trader.types import PORTFOLIO_FIELDS, FloatArray

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = ["FEATURE_TOLERANCE", "FOLDER", "vector_bars", "write_vectors"]

FOLDER = "vectors"
FEATURE_TOLERANCE = 1e-9
OWN_TOLERANCE = 1.2e-7
"""Of features of the user's own, on a window of bars: what float32 tells apart."""
_OWN_HISTORY = 512
ACTION_TOLERANCE = 1e-5
_DECISIONS = 64
_STILL = range(20, 26)
"""Of the decisions, those at bars that stand still and do not trade."""
_GAP_AFTER, _GAP_BARS = 40, 60


def vector_bars(warmup: int, signals: Sequence[str] = ()) -> Bars:
    """[warmup + 64] hourly bars for a feature set of that warm-up.

    Args:
        warmup: bars without features at the start.
        signals: names of further columns; every fifth value is missing.
    """
    n = warmup + _DECISIONS
    drawn = _uniform(n, 6)
    still = np.isin(np.arange(n) - warmup, _STILL)
    open_, high, low, close = np.zeros((4, n))
    last = 100.0
    for i in range(n):
        first, second, third, up, down = drawn[i, :5].tolist()
        open_[i] = last if still[i] else round(last * (1.0 + 0.004 * (first - 0.5)), 4)
        move = 0.0 if still[i] else 0.03 * (first + second + third - 1.5)
        close[i] = last = round(last * (1.0 + move), 4)
        span = 0.0 if still[i] else 0.01
        high[i] = round(max(open_[i], last) * (1.0 + span * up), 4)
        low[i] = round(min(open_[i], last) * (1.0 - span * down), 4)
    hours = np.arange(n) + np.where(np.arange(n) > warmup + _GAP_AFTER, _GAP_BARS, 0)
    return Bars(
        "VECTORS",
        np.datetime64("2024-01-01T00:00", "ns") + hours * np.timedelta64(1, "h"),
        open_,
        high,
        low,
        close,
        np.where(still, 0.0, np.floor(drawn[:, 5] * 10_000.0)),
        signals=dict(zip(signals, _signals(n, len(signals)), strict=True)),
    )


def _signals(rows: int, count: int) -> FloatArray:
    """[count, rows] numbers in [−0.5, 0.5), every fifth missing."""
    values = np.round(_uniform(rows, count) - 0.5, 4)
    values[4::5] = np.nan
    return values.T


def write_vectors(
    policy: OnnxPolicy, features: FeatureSet, model: Path, signals: Sequence[str] = ()
) -> dict[str, str]:
    """Write the vectors of ``policy`` beside ``model``; path within its folder → SHA-256.

    Args:
        policy: the model.
        features: that it observes.
        model: its place.
        signals: columns of the market that it observes, or that its features read.

    Raises:
        ConfigError: the policy states no trading rules, or own features fail on these bars.
        SchemaMismatch: the features are not those of the policy.
    """
    own = bool(may_miss(features))
    bars = vector_bars(features.warmup if not own else max(features.warmup, _OWN_HISTORY), signals)
    computed = compute_features(bars, features)
    warmup = max(computed.warmup, len(bars) - _DECISIONS)
    session = Session(policy, features=features, bars_per_year=bars.periods_per_year)
    made = [session.on_bar(bar) for bar in bars]
    asked = _asked(made, policy)[warmup:]
    decisions = list(takewhile(lambda each: each.observation is not None, made[warmup:]))  # to ruin
    rows = slice(warmup, warmup + len(decisions))
    values, times = computed.values[rows], bars.timestamps[rows]
    about = {
        "model": model.name,
        "model_sha256": policy.file.sha256,
        "input": {"name": "observation", "type": "float32", "shape": ["N", policy.layout.size]},
        **_goal_inputs(policy),
        "output": {"name": "action", "type": "float32", "shape": ["N", 1]},
        "columns": policy.layout.names,
        "formulas": dict(zip(features.schema.names, features.schema.stated, strict=True)),
        "warmup_bars": warmup,
        "rules": to_dict(session.rules),
        "bars_per_year": bars.periods_per_year,
        "tolerance": {
            "features": OWN_TOLERANCE if own else FEATURE_TOLERANCE,
            "action": ACTION_TOLERANCE,
        },
    }
    files = {
        "bars.csv": _bars_table(bars),
        "features.csv": _table(["time", *features.schema.names], _stamped(times, values)),
        "decisions.csv": _decisions_table(decisions, policy, asked),
        "vectors.json": to_json(about, indent=2) + "\n",
    }
    folder = model.parent / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        atomic_write(folder / name, text.encode())
    return {f"{FOLDER}/{name}": bytes_sha256(text.encode()) for name, text in files.items()}


def _uniform(rows: int, columns: int) -> FloatArray:
    """[rows, columns] numbers in [0, 1)."""
    with np.errstate(over="ignore"):
        counters = np.arange(1, rows * columns + 1, dtype=np.uint64) * GOLDEN
    drawn: FloatArray = (mix(counters) >> np.uint64(11)) * 2.0**-53
    return drawn.reshape(rows, columns)


def _bars_table(bars: Bars) -> str:
    columns = {name: getattr(bars, name) for name in BAR_COLUMNS} | dict(bars.signals)
    names, rows = list(columns), np.stack(list(columns.values()), axis=1)
    return _table(["time", *names], _stamped(bars.timestamps, rows))


def _goal_inputs(policy: OnnxPolicy) -> dict[str, object]:
    """The further inputs of a policy that takes a goal or a preference."""
    if policy.preference is not None:
        shape = ["N", len(policy.preference.names)]
        return {
            "preference": {"name": "preference", "type": "float32", "shape": shape,
                           "columns": policy.preference.names,
                           "asked": policy.preference.weights},
        }  # fmt: skip
    if policy.task is None:
        return {}
    shape = ["N", len(policy.task.progress)]
    return {
        "progress": {"name": "progress", "type": "float32", "shape": shape,
                     "columns": policy.task.progress},
        "goal": {"name": "goal", "type": "float32", "shape": ["N", 1], "asked": policy.goal,
                 "task": to_dict(policy.task)},
    }  # fmt: skip


def _asked(made: Sequence[Decision], policy: OnnxPolicy) -> list[list[float]]:
    """Progress and goal at every bar, from the first decision on, or the preference; of a policy
    without them nothing.

    A horizon begins with the first decision, and the next at the bar with which one ends.
    """
    if policy.preference is not None:
        return [list(policy.preference.weights) for _ in made]
    if policy.task is None:
        return [[] for _ in made]
    horizons, begun, rows = Horizons(policy.task, 1), False, []
    for each in made:
        equity = np.array([each.portfolio.equity])
        if begun:
            horizons.advance(equity)
        starts = not begun and each.observation is not None
        horizons.begin(horizons.over | starts, equity)
        begun = begun or starts
        rows.append([*horizons.columns()[0].tolist(), policy.goal])
    return rows


def _decisions_table(
    decisions: Sequence[Decision], policy: OnnxPolicy, asked: Sequence[Sequence[float]]
) -> str:
    names = () if policy.task is None else (*policy.task.progress, "goal")
    if policy.preference is not None:
        names = policy.preference.names
    header = ["time", *PORTFOLIO_FIELDS, *names, "action", "executed", "order_units", "hold"]
    rows = []
    for each, given in zip(decisions, asked, strict=False):
        assert each.observation is not None
        seen = each.observation[-len(PORTFOLIO_FIELDS) :].tolist()
        units = 0.0 if each.order is None else each.order.units
        rows.append(
            [
                _time(each.timestamp),
                *map(repr, [*seen, *given]),
                repr(each.action),
                repr(each.executed),
                repr(units),
                each.hold or "",
                *(repr(x) for x in (each.portfolio.cash, each.portfolio.units)),
                repr(each.portfolio.equity),
            ]
        )
    return _table([*header, "cash", "units", "equity"], rows)


def _stamped(times: Iterable[np.datetime64], values: FloatArray) -> list[list[str]]:
    return [[_time(t), *map(repr, row)] for t, row in zip(times, values.tolist(), strict=True)]


def _time(moment: np.datetime64) -> str:
    return f"{np.datetime_as_string(moment, unit='s')}Z"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    return text.getvalue()
