"""A log is replayed exactly: what was filled is filled again; what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.experts import ExpertPolicy, get_expert
from offline_trader.experts.history import HistoryParams, replay
from offline_trader.features import compute_features
from offline_trader.markets import BarRange, load_market
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig

N = 400


@pytest.fixture(scope="module")
def bars_market() -> MarketTensor:
    bars = load_market("sp500").slice(0, 253 + N)
    return MarketTensor.from_bars([bars], [compute_features(bars)], [BarRange(253, 253 + N)])


def write(path: Path, **columns: Any) -> str:
    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


def run(market: MarketTensor, config: SimulatorConfig, path: str, **params: object) -> Any:
    """Units filled at each step, and the actions, of one replay from the first bar."""
    policy = ExpertPolicy(get_expert(f"log:{path}", **params), market.layout, config, market=market)
    simulator = Simulator(market, config, auto_reset=False)
    seen = simulator.reset()
    fills, actions, exposure = [], [], []
    for _ in range(len(market) - 1):
        action = policy(seen, simulator.bar_index)
        seen = simulator.step(action).observations
        fills.append(float(simulator.fills[0]))
        actions.append(float(action[0, 0]))
        exposure.append(float(simulator.weight[0]))
    return np.array(fills), np.array(actions), np.array(exposure)


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("sizing", ["pre_fee", "post_fee"])
@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_fills_are_filled_again(
    tmp_path: Path, bars_market: MarketTensor, mode: Any, sizing: Any, fill: Any
) -> None:
    config = SimulatorConfig(
        action_mode=mode, sizing=sizing, fill=fill, commission_bps=5.0, hold_threshold=0.0,
        min_notional=0.0, dust_notional=0.0, rebalance_threshold=1e-4,
    )  # fmt: skip
    rows = np.array([10, 11, 40, 90, 91, 200, 201, 300])
    units = np.array([2.0, 1.5, -1.0, -2.5, 4.0, -1.0, -1.0, 0.5])
    stamps = pd.DatetimeIndex(bars_market.timestamps[rows]) + pd.Timedelta("10h")
    path = write(
        tmp_path / "fills.csv",
        time=stamps,
        side=np.where(units > 0, "buy", "SELL"),
        qty=np.abs(units),
    )
    fills, _, _ = run(bars_market, config, path)
    wanted = np.zeros(len(bars_market) - 1)
    wanted[rows - (fill == "next_open")] = units
    # in the target modes a kept weight is a trade of the size of float32's rounding
    np.testing.assert_allclose(fills, wanted, atol=2e-6 if mode == "order" else 1e-4)


def test_the_logs_capital_scales_its_units(tmp_path: Path, bars_market: MarketTensor) -> None:
    stamps = bars_market.timestamps[[10, 50]]
    path = write(tmp_path / "f.csv", date=stamps, units=[300.0, -300.0])
    config = SimulatorConfig(commission_bps=0, half_spread_bps=0, slippage_bps=0)
    fills, _, _ = run(bars_market, config, path, capital=config.initial_cash * 100)
    np.testing.assert_allclose(fills[[9, 49]], [3.0, -3.0], rtol=1e-6)
    notes = replay(bars_market, config, HistoryParams(path)).notes
    assert any("2 of 2 fills" in note or "1 of 2 fills" in note for note in notes), notes


def test_weights_are_held_between_their_dates(tmp_path: Path, bars_market: MarketTensor) -> None:
    config = SimulatorConfig(
        action_mode="target_long_short", commission_bps=0, half_spread_bps=0, slippage_bps=0,
        fill="close", rebalance_threshold=1e-4,
    )  # fmt: skip
    stamps = bars_market.timestamps[[20, 100, 150]]
    path = write(tmp_path / "w.csv", Date=stamps, target_weight=[0.6, -0.4, 0.0])
    fills, _, exposure = run(bars_market, config, path)
    np.testing.assert_array_equal(np.flatnonzero(fills), [20, 100, 150])
    assert exposure[:20].tolist() == [0.0] * 20
    close = bars_market.prices[:, 3]
    growth = 0.6 * close[21:101] / close[20]
    np.testing.assert_allclose(exposure[20:100], growth / (0.4 + growth), rtol=1e-5)
    assert exposure[110] < -0.2
    assert exposure[160] == 0.0


def test_legacy_actions_by_name_and_number(tmp_path: Path, bars_market: MarketTensor) -> None:
    config = SimulatorConfig()
    stamps = bars_market.timestamps[[5, 6, 7, 8]]
    names = ["BUY_MEDIUM", "sell partial", "Add to winner", "SELL_ALL"]
    path = write(tmp_path / "l.csv", timestamp=stamps, action=names)
    _, actions, _ = run(bars_market, config, path)
    assert actions[[5, 6, 8]].tolist() == [0.5, -0.5, -1.0]
    assert actions[7] in (0.0, 0.5)
    numbered = write(tmp_path / "n.csv", timestamp=stamps, action=[2, 4, 6, 5])
    _, same, _ = run(bars_market, config, numbered, kind="legacy")
    np.testing.assert_array_equal(same, actions)
    with pytest.raises(ConfigError, match="order"):
        run(bars_market, SimulatorConfig(action_mode="target_long"), path)


def test_adding_to_a_winner_needs_a_profit(tmp_path: Path, bars_market: MarketTensor) -> None:
    everywhere = write(
        tmp_path / "a.csv",
        timestamp=bars_market.timestamps[:50],
        action=["BUY_SMALL", *["ADD_TO_WINNER"] * 49],
    )
    policy = ExpertPolicy(
        get_expert(f"log:{everywhere}"), bars_market.layout, SimulatorConfig(), market=bars_market
    )
    seen = np.zeros((2, bars_market.layout.size), dtype=np.float32)
    seen[:, bars_market.layout.names.index("unrealised_return")] = [-0.01, 0.01]
    assert policy.decide(seen, np.array([9, 9])).tolist() == [0.0, 0.5]


def test_rows_that_match_no_bar_are_listed_and_refused_beyond_a_share(
    tmp_path: Path, bars_market: MarketTensor
) -> None:
    stamps = pd.DatetimeIndex(bars_market.timestamps[:40])
    friday = next(i for i in range(39) if (stamps[i + 1] - stamps[i]).days > 2)
    saturday = stamps[friday] + pd.Timedelta("36h")
    times = sorted([*stamps[:20], saturday])
    place = times.index(saturday)
    path = write(tmp_path / "w.csv", time=times, weight=np.full(21, 0.5))
    with pytest.raises(DataError, match=rf"1 rows match no bar: row {place + 2} "):
        replay(bars_market, SimulatorConfig(), HistoryParams(path, unmatched=0.01))
    found = replay(bars_market, SimulatorConfig(), HistoryParams(path))
    assert found.matched == 20
    assert any("match no bar" in note for note in found.notes)


def test_rows_outside_the_bars_do_not_count_as_unmatched(
    tmp_path: Path, bars_market: MarketTensor
) -> None:
    times = [pd.Timestamp("1990-01-02"), *bars_market.timestamps[:5], pd.Timestamp("2017-01-03")]
    path = write(tmp_path / "w.csv", time=times, weight=np.full(7, 0.5))
    found = replay(bars_market, SimulatorConfig(), HistoryParams(path))
    assert found.matched == 5
    assert any("2 rows lie before or after" in note for note in found.notes)
    only = write(tmp_path / "o.csv", time=times[:1], weight=[0.5])
    with pytest.raises(DataError, match="no row matches"):
        replay(bars_market, SimulatorConfig(), HistoryParams(only))


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"weight": [0.5, 50.0]}, DataError, "row 3: weight is"),
        ({"weight": [0.5, np.nan]}, DataError, "row 3: weight is"),
        ({"action": ["BUY_SMALL", "JUMP"]}, DataError, "row 2: action is 'BUY_SMALL'"),
        ({"qty": [1.0, 1.0], "side": ["buy", "hold"]}, DataError, "row 3: side is 'hold'"),
        ({"weight": [0.5, 0.5], "action": [0.5, 0.5]}, ConfigError, "several kinds"),
        ({"colour": [1, 2]}, ConfigError, "no kind of log"),
    ],
)
def test_files_that_are_no_log_are_refused_by_row(
    tmp_path: Path, columns: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = write(tmp_path / "bad.csv", date=["2001-01-02", "2001-01-03"], **columns)
    with pytest.raises(error, match=message):
        get_expert(f"log:{path}")


def test_missing_files_and_times_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        get_expert(f"log:{tmp_path}/absent.csv")
    with pytest.raises(DataError, match="no column of times"):
        get_expert(f"log:{write(tmp_path / 'x.csv', weight=[0.5])}")
    with pytest.raises(DataError, match="no rows"):
        get_expert(f"log:{write(tmp_path / 'y.csv', date=[], weight=[])}")


def test_several_instruments_need_symbols(tmp_path: Path) -> None:
    bars = [load_market(name).slice(0, 300) for name in ("sp500", "nasdaq")]
    parts = [BarRange(253, 300)] * 2
    market = MarketTensor.from_bars(bars, [compute_features(one) for one in bars], parts)
    stamps = market.timestamps[[3, 4]]
    bare = write(tmp_path / "b.csv", time=stamps, weight=[0.5, 0.25])
    with pytest.raises(DataError, match="symbol"):
        replay(market, SimulatorConfig(), HistoryParams(bare))
    named = write(
        tmp_path / "n.csv", time=stamps, weight=[0.5, 0.25], symbol=[market.symbols[1], "SP500"]
    )
    table = replay(market, SimulatorConfig(), HistoryParams(named)).table
    assert np.flatnonzero(table[:, 1]).tolist() == [4, 47 + 3]
    assert table[[4, 50], 0].tolist() == [0.25, 0.5]


def test_parquet_and_csv_say_the_same(tmp_path: Path, bars_market: MarketTensor) -> None:
    frame = pd.DataFrame({"time": bars_market.timestamps[:9], "weight": np.linspace(0, 1, 9)})
    frame.to_parquet(tmp_path / "w.parquet")
    frame.to_csv(tmp_path / "w.csv", index=False)
    one, other = (
        replay(bars_market, SimulatorConfig(), HistoryParams(str(tmp_path / name))).table
        for name in ("w.parquet", "w.csv")
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_there_are_no_more_trades_than_fills(
    tmp_path: Path, bars_market: MarketTensor, mode: Any
) -> None:
    """In the target modes a kept weight moves overnight; keeping it must not be a trade."""
    rows = np.array([10, 20, 40, 60, 90, 120, 150, 180, 200, 250, 300, 350])
    units = np.tile([3.0, -3.0] if mode != "target_long_short" else [-3.0, 3.0], 6)
    path = write(tmp_path / "f.csv", time=bars_market.timestamps[rows], units=units)
    fills, _, _ = run(bars_market, SimulatorConfig(action_mode=mode, hold_threshold=0.0), path)
    wanted = np.zeros(len(bars_market) - 1)
    wanted[rows - 1] = units
    np.testing.assert_allclose(fills, wanted, atol=1e-5)
    assert np.count_nonzero(fills) == len(units)


def test_a_kept_weight_that_trades_is_told(tmp_path: Path, bars_market: MarketTensor) -> None:
    path = write(tmp_path / "w.csv", time=bars_market.timestamps[:2], weight=[0.5, 0.25])
    for settings, told in (
        ({}, True), ({"rebalance_threshold": 0.01}, False), ({"action_mode": "order"}, False),
    ):  # fmt: skip
        config = SimulatorConfig(**{"action_mode": "target_long", **settings})  # type: ignore[arg-type]
        notes = replay(bars_market, config, HistoryParams(path)).notes
        assert any("more trades than rows" in note for note in notes) == told
    smooth = SimulatorConfig(smoothing_alpha=0.5)
    notes = replay(bars_market, smooth, HistoryParams(path)).notes
    assert any("not exact: env.simulator.smoothing_alpha" in note for note in notes)


def test_a_log_that_begins_in_the_warm_up_is_told_so(
    tmp_path: Path, bars_market: MarketTensor
) -> None:
    bars = load_market("sp500").slice(0, 253 + N)
    early, inside = bars.timestamps[[5, 100]], bars_market.timestamps[[40, 80]]
    both = write(tmp_path / "b.csv", time=[*early, *inside], units=[5.0, 1.0, -2.0, -4.0])
    notes = replay(bars_market, SimulatorConfig(), HistoryParams(both)).notes
    assert any("2 rows from row 2 on lie on bars before" in note for note in notes), notes
    assert any("the log held 6 units before" in note for note in notes), notes
    assert not any("is the capital right" in note for note in notes)
    alone = write(tmp_path / "a.csv", time=early, units=[5.0, 1.0])
    with pytest.raises(DataError, match="the features' warm-up") as info:
        replay(bars_market, SimulatorConfig(), HistoryParams(alone))
    assert "begin earlier than the log" in str(info.value.hint)


def test_a_short_sale_in_a_mode_without_shorts_is_told(
    tmp_path: Path, bars_market: MarketTensor
) -> None:
    path = write(tmp_path / "s.csv", time=bars_market.timestamps[[5, 9]], units=[-3.0, 3.0])
    for mode in ("order", "target_long"):
        notes = replay(bars_market, SimulatorConfig(action_mode=mode), HistoryParams(path)).notes
        assert any("target_long_short holds short positions" in note for note in notes), notes


def test_symbols_are_compared_without_their_signs(tmp_path: Path) -> None:
    bars = [load_market(name).slice(0, 300) for name in ("sp500", "nasdaq")]
    parts = [BarRange(253, 300)] * 2
    market = MarketTensor.from_bars(bars, [compute_features(one) for one in bars], parts)
    path = write(
        tmp_path / "n.csv", time=market.timestamps[[3, 4]], weight=[0.5, 0.25],
        symbol=["NAS/DAQ", "SP-500"],
    )  # fmt: skip
    table = replay(market, SimulatorConfig(), HistoryParams(path)).table
    assert np.flatnonzero(table[:, 1]).tolist() == [4, 47 + 3]
