"""Collections: what is stored is what happened, whatever interrupts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import minari
import numpy as np
import pytest

from offline_trader.codec import from_json, plain
from offline_trader.datasets import (
    CollectConfig,
    CollectSummary,
    check_layout,
    collect,
    dataset_metadata,
    load_transitions,
)
from offline_trader.datasets.catalog import dataset_facts
from offline_trader.datasets.loading import load_info
from offline_trader.datasets.parts import PartStore
from offline_trader.datasets.rollout import INFO_NAMES
from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.features import observation_layout
from offline_trader.simulator import SimulatorConfig, simulate_actions

ENV = EnvConfig(start="2003-01-01", end="2006-12-31", episode_bars=60)
CONFIG = CollectConfig(
    dataset_id="tests/small-v0",
    env=ENV,
    experts=("technical?epsilon=0.2", "donchian?sticky=0.3&gaussian=0.1", "random"),
    transitions=1000,
    lanes=5,
    seed=3,
    score_episodes=4,
    author="Someone",
)
PARTS = 4  # 17 episodes of 60 steps, five lanes at a time


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def summary(root: Path) -> CollectSummary:
    return collect(CONFIG, root=root)


def data_file(root: Path, dataset_id: str = CONFIG.dataset_id) -> Path:
    return root / dataset_id / "data" / "main_data.hdf5"


def run_python(code: str, root: Path, cwd: Path) -> str:
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_counts(summary: CollectSummary, root: Path) -> None:
    assert (summary.episodes, summary.steps) == (17, 1020)
    assert summary.terminations + summary.truncations == 17
    assert sum(summary.action_histogram) == 1020
    assert sum(one.steps for one in summary.behaviours) == 1020
    assert Path(summary.plot).read_bytes().startswith(b"\x89PNG")
    stored = json.loads((root / CONFIG.dataset_id / "summary.json").read_text())
    assert from_json(CollectSummary, stored, "it") == summary


def test_summary_is_what_the_transitions_say(summary: CollectSummary, root: Path) -> None:
    loaded = load_transitions(CONFIG.dataset_id, root)
    returns = np.bincount(loaded.episode_ids, weights=load_info_rewards(root))
    assert summary.mean_return == pytest.approx(returns.mean())
    assert summary.std_return == pytest.approx(returns.std())
    assert (summary.min_return, summary.max_return) == pytest.approx((returns.min(), returns.max()))
    fills = load_info(CONFIG.dataset_id, "fill_units", root)
    assert summary.trades == np.count_nonzero(fills) > 100
    histogram, _ = np.histogram(loaded.actions, bins=np.linspace(-1, 1, 22))
    assert np.abs(histogram - np.array(summary.action_histogram)).sum() <= 2


def load_info_rewards(root: Path) -> np.ndarray:
    growth = load_info(CONFIG.dataset_id, "cumulative_return", root)
    log_equity = np.log1p(growth).reshape(17, 60)
    return np.diff(log_equity, axis=1, prepend=0.0).ravel()


def test_the_steps_are_those_of_an_independent_backtest(
    summary: CollectSummary, root: Path
) -> None:
    """Replay every episode's actions through the backtest path: rewards, fills, features agree."""
    market = make_market(ENV)
    loaded = load_transitions(CONFIG.dataset_id, root)
    infos = {name: load_info(CONFIG.dataset_id, name, root) for name in INFO_NAMES}
    for episode in range(summary.episodes):
        rows = np.flatnonzero(loaded.episode_ids == episode)
        bars = infos["bar_index"][rows].astype(int)
        np.testing.assert_array_equal(bars, np.arange(bars[0], bars[0] + 60))
        first = int(bars[0]) - 1
        replay = simulate_actions(market, ENV.simulator, loaded.actions[rows], first=first)
        assert replay.equity is not None
        assert replay.fills is not None
        equity = replay.equity[:, 0]
        np.testing.assert_allclose(loaded.rewards[rows], np.diff(np.log(equity)), atol=1e-7)
        np.testing.assert_allclose(infos["cumulative_return"][rows], equity[1:] / 1e4 - 1)
        np.testing.assert_array_equal(infos["fill_units"][rows], replay.fills[:, 0])
        profit = infos["realised_profit"][rows] + infos["unrealised_profit"][rows]
        np.testing.assert_allclose(profit, equity[1:] - 1e4, atol=1e-8)
        drawdown = equity / np.maximum.accumulate(equity) - 1.0
        np.testing.assert_allclose(infos["drawdown"][rows], drawdown[1:], atol=1e-12)
        np.testing.assert_array_equal(
            loaded.observations[rows, :32], market.features[first : first + 60]
        )
        np.testing.assert_array_equal(
            loaded.next_observations[rows, :32], market.features[first + 1 : first + 61]
        )


def test_minari_alone_loads_it_and_rebuilds_the_environment(
    summary: CollectSummary, root: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, json, minari\n"
        "d = minari.load_dataset('tests/small-v0')\n"
        "assert 'offline_trader.envs.single' not in sys.modules\n"
        "e = d.recover_environment()\n"
        "o, _ = e.reset(seed=1)\n"
        "s = e.step(e.action_space.sample())\n"
        "print(json.dumps([d.total_episodes, int(d.total_steps), d[2].observations.shape,"
        " o.shape, sorted(s[4]), e.unwrapped.config.to_kwargs(),"
        " e.observation_space == d.observation_space]))\n"
    )
    episodes, steps, stored, fresh, infos, kwargs, same = json.loads(
        run_python(code, root, tmp_path)
    )
    assert (episodes, steps) == (17, 1020)
    assert stored == [61, 37]
    assert fresh == [37]
    assert set(INFO_NAMES) - {"expert_action"} <= set(infos)
    assert EnvConfig(**kwargs) == ENV
    assert same


def test_it_shows_in_minaris_list(summary: CollectSummary, root: Path, tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['minari', 'list', 'local']; import minari.cli as c; c.app()"
    assert "tests/small-v0" in run_python(code, root, tmp_path)


def test_metadata(summary: CollectSummary, root: Path) -> None:
    metadata = dataset_metadata(CONFIG.dataset_id, root)
    own = metadata["offline_trader"]
    layout = observation_layout()
    facts = dataset_facts(CONFIG.dataset_id, root)
    assert facts.layout == layout
    assert plain(facts) == own
    assert own["layout_hash"] == layout.hash
    assert own["feature_hash"] == layout.feature_hash
    assert own["market"] == ["sp500"]
    assert len(own["market_sha256"]["sp500"]) == 64
    assert own["train_range"]["sp500"]["start"].startswith("2003-01-02")
    assert own["train_range"]["sp500"]["end"].startswith("2006-12-29")
    assert [one["label"] for one in own["experts"]] == list(CONFIG.experts)
    assert own["privileged"] is False
    assert own["seeds"] == {"collection": 3}
    assert own["ref_min_score"] < own["ref_max_score"] < own["expert_scores"]["oracle"]
    assert metadata["author"] == ["Someone"]
    scaler = facts.scaler
    values = np.asarray(make_market(ENV).features, dtype=np.float64)
    np.testing.assert_allclose(scaler.mean[:32], values.mean(axis=0))
    dataset = minari.MinariDataset(root / CONFIG.dataset_id / "data")
    worst, best = own["ref_min_score"], own["ref_max_score"]
    scores = minari.get_normalized_score(dataset, np.array([worst, best]))
    np.testing.assert_allclose(scores, [0.0, 1.0])


def test_same_seed_same_bytes(summary: CollectSummary, root: Path, tmp_path: Path) -> None:
    collect(CONFIG, root=tmp_path)
    assert data_file(tmp_path).read_bytes() == data_file(root).read_bytes()
    collect(replace(CONFIG, seed=4), root=tmp_path, overwrite=True)
    assert data_file(tmp_path).read_bytes() != data_file(root).read_bytes()


def test_a_stopped_collection_resumes_to_the_same_bytes(
    summary: CollectSummary, root: Path, tmp_path: Path
) -> None:
    def stop_at_third(done: int, total: int) -> None:
        assert total == 1020
        if done > 600:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(CONFIG, stop_at_third, root=tmp_path)
    with pytest.raises(DataError, match="none"):
        load_transitions(CONFIG.dataset_id, tmp_path)
    with pytest.raises(ConfigError, match="--resume"):
        collect(CONFIG, root=tmp_path)
    with pytest.raises(ConfigError, match="seed = 3, not 4"):
        collect(replace(CONFIG, seed=4), root=tmp_path, resume=True)
    kept = sorted((tmp_path / ".collecting" / CONFIG.dataset_id).glob("part-*"))
    assert len(kept) == 3
    stamps = [path.stat().st_mtime_ns for path in kept]
    seen: list[int] = []

    def note(done: int, total: int) -> None:
        seen.append(done)
        assert [path.stat().st_mtime_ns for path in kept] == stamps

    again = collect(CONFIG, note, root=tmp_path, resume=True)
    assert seen[-1] == 1020
    assert data_file(tmp_path).read_bytes() == data_file(root).read_bytes()
    assert replace(again, path="", plot="", seconds=0.0) == replace(
        summary, path="", plot="", seconds=0.0
    )
    assert [path.name for path in tmp_path.iterdir()] == ["tests"]


@pytest.mark.slow
def test_parts_side_by_side_give_the_same_bytes(
    summary: CollectSummary, root: Path, tmp_path: Path
) -> None:
    seen: list[int] = []
    collect(CONFIG, lambda done, _: seen.append(done), root=tmp_path, workers=2)
    assert data_file(tmp_path).read_bytes() == data_file(root).read_bytes()
    assert seen == sorted(seen)
    assert seen[-1] == 1020
    assert not (tmp_path / ".collecting").exists()


def test_a_killed_process_leaves_no_dataset_and_resumes(
    summary: CollectSummary, root: Path, tmp_path: Path
) -> None:
    """SIGKILL at an arbitrary moment, again and again, until the collection gets through."""
    spec = tmp_path / "config.json"
    from offline_trader.config import to_dict

    spec.write_text(json.dumps(to_dict(CONFIG)))
    code = (
        "import json, sys, time, pathlib\n"
        "from offline_trader.config.loading import from_dict\n"
        "from offline_trader.datasets import CollectConfig, collect\n"
        f"c = from_dict(CollectConfig, json.loads(pathlib.Path({str(spec)!r}).read_text()))\n"
        "print('ready', flush=True)\n"
        f"collect(c, lambda *_: time.sleep(0.15), root=pathlib.Path({str(tmp_path)!r}),"
        " resume=True)\n"
    )
    kills = 0
    for delay in (0.25, 0.6, 60.0):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + delay
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
        if not data_file(tmp_path).exists():
            with pytest.raises(DataError):
                load_transitions(CONFIG.dataset_id, tmp_path)
    assert kills >= 1
    assert data_file(tmp_path).read_bytes() == data_file(root).read_bytes()


def test_existing_datasets_are_safe(summary: CollectSummary, root: Path) -> None:
    before = data_file(root).read_bytes()
    with pytest.raises(ConfigError, match="--overwrite"):
        collect(CONFIG, root=root)
    assert collect(CONFIG, root=root, resume=True) == summary
    with pytest.raises(ConfigError, match="other settings"):
        collect(replace(CONFIG, seed=9), root=root, resume=True)
    assert data_file(root).read_bytes() == before


def test_a_foreign_layout_is_refused_with_both_hashes(summary: CollectSummary, root: Path) -> None:
    layout = observation_layout()
    check_layout(CONFIG.dataset_id, layout, root)
    other = replace(layout, features=(*layout.features[:-1], "moon_phase"))
    with pytest.raises(SchemaMismatch) as caught:
        load_transitions(CONFIG.dataset_id, root, layout=other)
    assert layout.hash in str(caught.value)
    assert other.hash in str(caught.value)
    assert "column 31" in str(caught.value)


def test_privileged_datasets_are_marked(tmp_path: Path) -> None:
    config = replace(CONFIG, experts=("oracle", "buy_and_hold"), transitions=600)
    summary = collect(config, root=tmp_path)
    own = dataset_metadata(CONFIG.dataset_id, tmp_path)["offline_trader"]
    assert own["privileged"] is True
    assert [one["expert"]["privileged"] for one in own["experts"]] == [True, False]
    assert own["ref_max_score"] == own["expert_scores"]["oracle"] == summary.ref_max_score
    by_label = {one.label: one.mean_return for one in summary.behaviours}
    oracle, holding = by_label["oracle"], by_label["buy_and_hold"]
    assert oracle is not None
    assert holding is not None
    assert oracle > holding


def test_noise_is_in_the_action_and_not_in_the_label(summary: CollectSummary, root: Path) -> None:
    loaded = load_transitions(CONFIG.dataset_id, root)
    labels = load_info(CONFIG.dataset_id, "expert_action", root)
    changed = loaded.actions[:, 0] != labels.astype(np.float32)
    assert 0.2 < changed.mean() < 0.9
    assert np.abs(labels).max() <= 1.0


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_every_action_mode_whole_ranges_several_markets(tmp_path: Path, mode: str) -> None:
    env = EnvConfig(
        ("sp500", "nasdaq"),
        start="2005-01-01",
        end="2005-12-31",
        episode_bars=None,
        random_start=False,
        simulator=SimulatorConfig(action_mode=mode),  # type: ignore[arg-type]
    )
    experts = ("technical", "ma_cross", "momentum", "reversion", "volatility_target", "oracle")
    config = CollectConfig("tests/modes-v0", env, experts, transitions=1500, lanes=6)
    summary = collect(config, root=tmp_path)
    bars = dataset_metadata("tests/modes-v0", tmp_path)["offline_trader"]["train_range"]
    assert set(bars) == {"sp500", "nasdaq"}
    steps = bars["sp500"]["bars"] - 1
    assert summary.steps == steps * -(-1500 // steps)
    loaded = load_transitions("tests/modes-v0", tmp_path)
    if mode == "target_long":
        assert loaded.actions.min() >= 0.0
    exposure = loaded.next_observations[:, 32]
    assert (exposure.min() < 0.0) == (mode == "target_long_short")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_id": "no version"}, "namespace/name-v0"),
        ({"dataset_id": "a/short-v0"}, "two or more"),
        ({"experts": ()}, "weight for each"),
        ({"experts": ("tecnical",)}, "'technical'"),
        ({"transitions": 0}, "at least 1"),
        ({"lanes": 0}, "at least 1"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": 2**63}, "2\\^63"),
        ({"experts": ("technical?gaussian=inf",)}, "a finite standard deviation"),
        ({"experts": ("technical?noise_seed=1.5",)}, "a whole number"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **changes)  # type: ignore[arg-type]


def test_refused_rules_leave_no_unfinished_collection(tmp_path: Path) -> None:
    quiet = replace(ENV, market=("synthetic:walk?bars=400&volume=0",), start=None, end=None)
    capped = replace(quiet, simulator=SimulatorConfig(volume_cap=0.1))
    with pytest.raises(DataError, match="no volume"):
        collect(replace(CONFIG, env=capped), root=tmp_path)
    assert not (tmp_path / ".collecting").exists()
    assert collect(replace(CONFIG, env=quiet), root=tmp_path).steps >= 1000


def test_a_kill_after_the_dataset_appeared_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: PartStore) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PartStore, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(CONFIG, root=tmp_path)
    summary = collect(CONFIG, root=tmp_path, resume=True)
    assert summary.episodes == len(minari.MinariDataset(tmp_path / CONFIG.dataset_id / "data"))
    assert not (tmp_path / ".collecting").exists()


def test_a_kill_while_a_dataset_is_replaced_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = collect(CONFIG, root=tmp_path)
    move = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / CONFIG.dataset_id:
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(replace(CONFIG, seed=4), root=tmp_path, overwrite=True)
    assert collect(CONFIG, root=tmp_path, resume=True) == before


def test_a_full_disk_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("37037 requested and 23520 written")  # as numpy says it, without a number

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match=r"\.npy cannot be written: No space left on device"):
        collect(CONFIG, root=tmp_path)
    assert list(tmp_path.iterdir()) == []
