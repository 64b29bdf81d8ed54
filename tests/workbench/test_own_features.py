"""A DataFrame with a signal and a function of it: from the frame to a judged model in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import offline_trader as ot
from offline_trader.errors import ConfigError
from offline_trader.features import admission, own
from offline_trader.serving import Session

SMALL = {
    "clone.updates": 20,
    "offline.critic_updates": 5,
    "offline.updates": 10,
    "learner.hidden": [8, 8],
    "learner.batch_size": 32,
}


def calm(frame: pd.DataFrame) -> dict[str, pd.Series]:
    moves = frame["close"].pct_change()
    return {"momentum": moves.rolling(10).sum(), "tilt": frame["mood"].ffill() * moves.abs()}


def peek(frame: pd.DataFrame) -> pd.Series:
    return frame["close"].shift(-1) / frame["close"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module, name in ((own, "_NAMED"), (own, "_LOADED"), (admission, "_ADMITTED")):
        monkeypatch.setattr(module, name, {})
    monkeypatch.setattr(admission, "_SECONDS", 0.05)


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 500)))
    return pd.DataFrame(
        {
            "open": close,
            "high": 1.01 * close,
            "low": 0.99 * close,
            "close": close,
            "mood": np.where(rng.random(500) < 0.3, np.nan, rng.normal(size=500)),
        },
        index=pd.date_range("2020-01-01", periods=500, freq="B", name="date"),
    )


def test_the_line_on_a_frame_with_a_signal(frame: pd.DataFrame) -> None:
    bars = ot.load_bars(frame, symbol="ACME", signals=["mood"])
    data = ot.collect(
        bars,
        features=calm,
        signals=["mood"],
        features_only=True,
        end="2021-06-30",
        experts=["buy_and_hold", "random"],
        dataset="acme/calm-v0",
        transitions=200,
        settings={"env.episode_bars": 50, "score_episodes": 2},
        root="data",
        progress=False,
    )
    trained = ot.pretrain(data, settings=SMALL, progress=False)
    model = ot.export_policy(trained, force=True, progress=False)
    brief = {"options.noise_draws": 0, "options.replicates": 200}
    report = ot.evaluate(model, bars, settings=brief, progress=False)
    assert report.evaluation.n_bars > 50
    policy = ot.OnnxPolicy(model.path)
    assert policy.layout.features == ("momentum", "tilt", "mood")
    session = Session(policy).warm_up(bars.slice(0, 450))
    decided = [session.on_bar(bar) for bar in bars.slice(450, 500)]
    seen = np.stack([one.observation for one in decided if one.observation is not None])
    assert len(seen) == 50
    np.testing.assert_allclose(
        seen[:, 0],
        calm(frame)["momentum"].to_numpy()[450:],
        rtol=1e-6,
        atol=1e-9,
    )
    np.testing.assert_allclose(seen[:, 2], frame["mood"].ffill().to_numpy()[450:], rtol=1e-6)


def test_a_function_that_reads_the_future_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="reads the future: peek at bar"):
        ot.collect(frame, features=peek, root="data", progress=False)
    assert not Path("data").exists()


def test_a_model_s_features_are_named_before_it_is_served(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = ot.load_bars(frame)
    data = ot.collect(
        bars,
        features=calm_without_signal,
        features_only=True,
        experts=["random"],
        dataset="acme/named-v0",
        transitions=100,
        settings={"env.episode_bars": 50, "score_episodes": 1},
        root="data",
        progress=False,
    )
    trained = ot.pretrain(data, settings=SMALL, progress=False)
    model = ot.export_policy(trained, force=True, progress=False)
    for module, name in ((own, "_NAMED"), (own, "_LOADED"), (admission, "_ADMITTED")):
        monkeypatch.setattr(module, name, {})
    with pytest.raises(ConfigError, match="name_features"):
        Session(model.path)


def calm_without_signal(frame: pd.DataFrame) -> pd.Series:
    return frame["close"].pct_change().rolling(5).sum()
