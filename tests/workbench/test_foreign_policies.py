"""Policies from elsewhere through the whole line: judged, audited, scored, walked, exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import offline_trader as ot
from offline_trader.cli.main import main
from offline_trader.envs import TradingEnv
from offline_trader.errors import ConfigError, GateFailed, SchemaMismatch
from offline_trader.export import read_manifest
from offline_trader.types import Observations

BRIEF: dict[str, Any] = {
    "settings": {
        "options.noise_draws": 0,
        "options.replicates": 100,
        "options.costs_bps": [],
        "options.delay_bars": 0,
        "options.oracle": False,
    },
    "progress": False,
}
OWN = """
import numpy as np
import torch


def act(observations):
    return np.tanh(50.0 * observations[:, 0])


def load():
    torch.manual_seed(0)
    actor = torch.nn.Sequential(torch.nn.Linear(37, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        actor[0].weight[:, 0] *= 300.0
        actor[2].weight *= 3.0
        actor[2].bias.zero_()
    return torch.nn.Sequential(actor, torch.nn.Tanh())


def nothing():
    return 3


def train(window):
    (window.folder / "seen.txt").write_text(f"{window.env.start} {window.env.end} {window.seed}")
    return act
"""


def momentum(observations: Observations) -> Any:
    """Long after a rise."""
    return np.tanh(50.0 * observations[:, 0])


def actor() -> torch.nn.Module:
    """The module that the file above loads."""
    names: dict[str, Any] = {}
    exec(OWN, names)
    module: torch.nn.Module = names["load"]()
    return module


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with rules of the user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def code_of(words: str) -> int:
    """Exit code of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_a_function_is_judged_and_counted_by_what_it_does() -> None:
    found = ot.evaluate(momentum, "sp500", start="2017", output="a", **BRIEF)
    assert found.evaluation.kind == "policy"
    assert found.evaluation.collapse is not None
    assert found.measures["trades"] is not None
    assert found.evaluation.trials == 1
    same = ot.evaluate(lambda seen: momentum(seen), "sp500", start="2017", output="b", **BRIEF)
    assert same.measures == found.measures
    assert same.evaluation.trials == 1
    other = ot.evaluate(lambda seen: -momentum(seen), "sp500", start="2017", output="c", **BRIEF)
    assert other.evaluation.trials == 2


def test_a_market_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="names no market"):
        ot.evaluate(momentum, **BRIEF)
    with pytest.raises(ConfigError, match="Sequential does not say what it was trained on"):
        ot.export_policy(actor())


def test_a_model_is_exported_and_judged_like_itself(tmp_path: Path) -> None:
    module = actor()
    model = ot.export_policy(module, market="sp500", end="2010-12-31", seed=3)
    assert model.path == Path("runs/Sequential/export/policy.onnx")
    assert model.exported.max_abs_difference < 1e-5
    found = ot.OnnxPolicy(model.path)
    assert found.metadata["command"] == "adopted from torch"
    assert found.metadata["seed"] == 3
    assert found.metadata["market"] == ["sp500"]
    assert found.metadata["train_range"] == [None, "2010-12-31"]
    manifest = read_manifest(model.path)
    assert manifest["collapse"]["trades_per_1000"] > 0
    assert manifest["parents"]["torch"] == ot.adapt(module).fingerprint(37)
    one = ot.evaluate(model, start="2017", output="a", **BRIEF)
    other = ot.evaluate(module, "sp500", start="2017", output="b", **BRIEF)
    assert one.measures["sharpe"] == pytest.approx(other.measures["sharpe"], abs=1e-3)
    again = ot.export_policy(
        "own.py:load", "other/policy.onnx", market="sp500", end="2010-12-31", seed=3
    )
    assert again.path.read_bytes() == model.path.read_bytes()


def test_what_cannot_be_exported_is_refused_and_nothing_written(tmp_path: Path) -> None:
    on: dict[str, Any] = {"market": "sp500", "end": "2010-12-31"}
    idle = torch.nn.Linear(37, 1)
    with torch.no_grad():
        for value in idle.parameters():
            value.zero_()
    refusals: list[tuple[object, type[Exception], str]] = [
        (idle, GateFailed, r"COLLAPSED(.|\n)*force=True"),
        (momentum, ConfigError, "momentum is a function without a graph"),
        (torch.nn.Linear(12, 1), SchemaMismatch, "Linear reads 12 columns"),
        ("own.py:nothing", ConfigError, "a int is no policy"),
        (torch.nn.Linear(37, 2), Exception, r"shape \(3, 2\)"),
    ]
    for policy, error, message in refusals:
        with pytest.raises(error, match=message):
            ot.export_policy(policy, "out/policy.onnx", **on)
    assert not (tmp_path / "out" / "policy.onnx").exists()
    with pytest.raises(ConfigError, match="a run knows what it was trained on"):
        ot.export_policy("runs/pretrain", **on)


WINDOWS = {
    "windows.train_bars": 400,
    "windows.validation_bars": 60,
    "windows.test_bars": 200,
    "windows.purge_bars": 5,
}


def test_a_factory_is_walked_forward_and_not_asked_twice() -> None:
    seen: list[ot.Window] = []

    def make(window: ot.Window) -> Callable[[Observations], Any]:
        seen.append(window)
        return momentum

    walk: dict[str, Any] = {"start": "2014", "settings": WINDOWS, "progress": False}
    found = ot.walk_forward("sp500", train=make, **walk)
    assert len(found.evaluation.windows) == len(seen) == 3
    assert len({window.seed for window in seen}) == 3
    assert found._repr_html_().count("<tr><td>") == 3
    first = seen[0]
    assert first.env.end is not None
    assert first.validation.start is not None
    assert first.env.end < first.validation.start < found.evaluation.start[:19]
    assert TradingEnv(**first.env.to_kwargs()).reset(seed=0)[0].shape == (37,)
    named = ot.walk_forward("sp500", train="own.py:train", run="runs/named", **walk)
    assert named.measures == found.measures
    told = (Path("runs/named/fold-000/seen.txt")).read_text().split()
    assert told[0] == first.env.start
    with pytest.raises(ConfigError, match="2 workers with a function of this process"):
        ot.walk_forward("sp500", train=make, workers=2, run="runs/two", **walk)
    warm = {**walk, "settings": {**WINDOWS, "windows.warm_start": True}}
    with pytest.raises(ConfigError, match="warm_start"):
        ot.walk_forward("sp500", train=make, run="runs/warm", **warm)


def test_known_optima_score_functions_and_models() -> None:
    small: dict[str, Any] = {"settings": {"score_lanes": 64, "score_steps": 256}, "progress": False}
    best = ot.known_optimum("M1", "optimal", **small)
    assert best.scores[0].value == pytest.approx(100.0)
    one = ot.known_optimum("M1", lambda seen: seen[:, 0], run="runs/kept", **small)
    assert len(list(Path("runs/kept").rglob("*.json"))) == 1
    linear = torch.nn.Linear(one_width(), 1, bias=False)
    with torch.no_grad():
        linear.weight[:] = 0.0
        linear.weight[0, 0] = 1.0
    other = ot.known_optimum("M1", linear, **small)
    assert other.subject == "Linear"
    assert other.scores[0].value == pytest.approx(one.scores[0].value, abs=1e-4)
    on_bars: dict[str, Any] = {"settings": {"bars": 4_000, "paths": 2}, "progress": False}
    assert ot.known_optimum("M3-bars", momentum, **on_bars).scores[0].value < 100.0
    with pytest.raises(ConfigError, match="one of the two"):
        ot.known_optimum("M1")


def one_width() -> int:
    """Columns of M1."""
    from offline_trader.evaluation.known_optimum import get_market

    return len(get_market("M1").observation_names)


def test_policies_and_functions_are_audited() -> None:
    found = ot.audit(momentum, bars=400, cuts=2, policy=True)
    assert found.clean
    assert found.outputs == ("action", "equity")
    leaky = ot.audit(lambda frame: frame["close"].shift(-1).fillna(0.0), bars=400, cuts=2)
    assert not leaky.clean
    assert leaky.leaks[0].reach_bars == 1


def test_commands_take_functions_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    quick = "--set options.noise_draws=0 --set options.replicates=100 --json -q"
    on = "--market sp500 --start 2017"
    assert code_of(f"evaluate own.py:act {on} -o judged {quick}") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "own-act"
    assert code_of("export own.py:load --market sp500 --end 2010 -o m/policy.onnx -q") == 0
    assert "adopted" not in capsys.readouterr().err
    assert code_of(f"evaluate m/policy.onnx --start 2017 -o again {quick}") == 0
    one = json.loads(capsys.readouterr().out)
    foreign = onnx.load("m/policy.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, "actor.onnx")
    assert code_of(f"evaluate actor.onnx {on} -o refused {quick}") == 3
    assert "--unverified" in capsys.readouterr().err
    assert code_of(f"evaluate actor.onnx {on} --unverified -o plain {quick}") == 0
    assert json.loads(capsys.readouterr().out)["measures"] == one["measures"]
    assert code_of("audit policy:own.py:act --bars 400 --cuts 2 --json -q") == 0
    assert json.loads(capsys.readouterr().out)["clean"]
    windows = " ".join(f"--set {name}={value}" for name, value in WINDOWS.items())
    walk = f"walk-forward --market sp500 --set env.start=2014 {windows} --train own.py:train -q"
    assert code_of(walk) == 0
    for words, message in (
        ("export own.py:load", "does not say what it was trained on"),
        ("evaluate own.py:act", "names no market"),
        ("evaluate own.py:nothing --market sp500", "a int is no policy"),
        ("evaluate own.py:gone --market sp500", "no function 'gone'"),
        ("evaluate model.zip --market sp500", "is a pickle"),
        ("export runs/a --market sp500", "a run knows what it was trained on"),
    ):
        capsys.readouterr()
        assert code_of(f"{words} -q") in (2, 3), words
        assert message in capsys.readouterr().err, words
