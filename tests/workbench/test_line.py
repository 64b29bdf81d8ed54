"""The line in Python: the runs, refusals and bytes of the commands, and results that show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import offline_trader as ot
from offline_trader.cli.main import main
from offline_trader.errors import ConfigError, DataError, GateFailed
from offline_trader.pipeline import Advance

COLLECT = {"env.episode_bars": 200, "score_episodes": 2}
PRETRAIN = {
    "clone.updates": 120,
    "clone.fit": "likelihood",
    "direct": {"updates": 4, "windows": 8, "bars": 8},
    "offline": {"critic_updates": 30, "updates": 60},
    "learner.batch_size": 32,
    "learner.hidden": [16, 16],
    "validation.min_trades_per_1000": 0,
}
FINETUNE = {"online.warmup_steps": 32, "online.critic_updates": 10}
EVALUATE = {"options.noise_draws": 0, "options.replicates": 200}
COMMANDS = (
    "collect --market sp500 --end 2004-12-31 --id small/experts-v0 --transitions 2000"
    " --set env.episode_bars=200 --set score_episodes=2",
    "pretrain --dataset small/experts-v0 --validate-until 2005-12-31 --set clone.updates=120"
    " --set clone.fit=likelihood"
    " --set direct.updates=4 --set direct.windows=8 --set direct.bars=8"
    " --set offline.critic_updates=30 --set offline.updates=60 --set learner.batch_size=32"
    " --set learner.hidden=16,16 --set validation.min_trades_per_1000=0",
    "finetune runs/pretrain --steps 192 --lanes 4 --set online.warmup_steps=32"
    " --set online.critic_updates=10",
    "export runs/finetune --force",
    "evaluate runs/finetune/export/policy.onnx --start 2006-01-01 --end 2007-12-31"
    " --set options.noise_draws=0 --set options.replicates=200",
)


def line(market: Any, folder: Path, **told: Any) -> tuple[Any, ...]:
    """The line in ``folder``, which is the working directory."""
    data = ot.collect(
        market,
        end="2004-12-31",
        dataset="small/experts-v0",
        transitions=2000,
        settings=COLLECT,
        root=folder / "data",
        **told,
    )
    trained = ot.pretrain(data, validate_until="2005-12-31", settings=PRETRAIN, **told)
    tuned = ot.finetune(trained, steps=192, lanes=4, settings=FINETUNE, **told)
    model = ot.export_policy(tuned, force=True, **told)
    report = ot.evaluate(
        model, market, start="2006-01-01", end="2007-12-31", settings=EVALUATE, **told
    )
    return data, trained, tuned, model, report


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, tuple[Any, ...]]]:
    """Folders in which the commands and the calls made the same, and what the calls returned."""
    commands, calls = (tmp_path_factory.mktemp(name) for name in ("commands", "calls"))
    patch = pytest.MonkeyPatch()
    try:
        patch.chdir(commands)
        for words in COMMANDS:
            stored = words.split()[0] in ("collect", "pretrain", "finetune")
            root = ["--root", str(commands / "data")] if stored else []
            with pytest.raises(SystemExit) as stop:
                main([*words.split(), *root, "-q"])
            assert not stop.value.code
        patch.chdir(calls)
        yield commands, calls, line(ot.load_bars("sp500"), calls, progress=False)
    finally:
        patch.undo()


def test_calls_leave_what_the_commands_leave(both: tuple[Path, Path, tuple[Any, ...]]) -> None:
    commands, calls, _ = both
    equal = [
        *(f"runs/{run}/{file}" for run in ("pretrain", "finetune")
          for file in ("config.yaml", "metrics.jsonl", "policy.d3")),
        "runs/finetune/export/policy.onnx",
        "runs/finetune/export/manifest.json",
    ]  # fmt: skip
    folder = "runs/evaluation-finetune-sp500-from-2006-01-01-to-2007-12-31"
    for name in [*equal, f"{folder}/evaluation.json", f"{folder}/report.html"]:
        assert (calls / name).read_bytes() == (commands / name).read_bytes(), name
    for run in ("pretrain", "finetune"):
        one, other = (
            json.loads((place / "runs" / run / "manifest.json").read_text())
            for place in (commands, calls)
        )
        for each in (one, other):
            for key in ("started", "finished"):
                del each[key]
            each["parents"] = [parent["sha256"] for parent in each["parents"]]
        assert one == other


def test_validation_is_by_the_forecast_that_rewards_are_learned_with(
    both: tuple[Path, Path, tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Fitted on the bars of the training range, with the weight of the rewards."""

    class Seen(Exception):
        pass

    def validator(_env: Any, _config: Any, training: Any, weight: float) -> Any:
        raise Seen(training.end, weight)

    monkeypatch.setattr("offline_trader.pipeline.finetuning.Validator", validator)
    settings = {**FINETUNE, "online.forecast_weight": 0.5}
    with pytest.raises(Seen) as seen:
        ot.finetune(both[2][1], settings=settings, run=tmp_path / "run", progress=False)
    assert seen.value.args == ("2004-12-31", 0.5)


def test_results_show_themselves(both: tuple[Path, Path, tuple[Any, ...]]) -> None:
    data, trained, tuned, model, report = both[2]
    assert repr(data).startswith("Dataset('small/experts-v0', 2,")
    assert "technical" in data._repr_html_()
    assert "data:image/png" in data._repr_html_()
    assert "clone: 120 updates" in repr(trained)
    assert "offline: 90 updates; " in trained._repr_html_()
    assert "data:image/png" in trained._repr_html_()
    assert "online: " in repr(tuned)
    assert "policy.onnx" in repr(model)
    assert model.exported.sha256[:16] in model._repr_html_()
    assert "bars\n" in repr(report)
    assert str(report.path) in repr(report)
    shown = report._repr_html_()
    low, high = report.intervals["sharpe"]
    for text in (f"{low:.2f} to {high:.2f}".replace("-", "−"), "Maximum drawdown", "data:image/p"):
        assert text in shown
    frame = report.to_frame()
    assert frame.loc["sharpe", "low"] == low
    assert frame.loc["cagr", "value"] == report.measures["cagr"]
    assert "buy_and_hold" in frame.columns


def test_results_lead_on(both: tuple[Path, Path, tuple[Any, ...]]) -> None:
    data, trained, _, model, _ = both[2]
    assert len(data.transitions()) == data.summary.steps
    seen = data.transitions().observations[:50]
    assert model.policy()(seen).shape == trained.policy()(seen).shape == (50, 1)
    assert trained.metrics().index[-1] == 120 + 4 + 30 + 60


def test_what_is_there_is_not_replaced(
    both: tuple[Path, Path, tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, calls, (data, trained, _, model, report) = both
    monkeypatch.chdir(calls)
    with pytest.raises(ConfigError, match=r"add resume=True to go on with it(.|\n)*another run"):
        ot.pretrain(data, validate_until="2005-12-31", settings=PRETRAIN, progress=False)
    with pytest.raises(ConfigError, match="overwrite=True"):
        ot.evaluate(model, start="2006-01-01", end="2007-12-31", settings=EVALUATE, progress=False)
    again = ot.pretrain(
        data, validate_until="2005-12-31", settings=PRETRAIN, resume=True, progress=False
    )
    assert again == trained
    assert report.path.is_file()


def test_a_collapsed_policy_is_refused(
    both: tuple[Path, Path, tuple[Any, ...]], tmp_path: Path
) -> None:
    untrained = {**PRETRAIN, "clone.updates": 0, "offline": {"critic_updates": 0, "updates": 0}}
    idle = ot.pretrain(both[2][0], settings=untrained, run=tmp_path / "idle", progress=False)
    make_constant(idle.path)
    with pytest.raises(GateFailed, match=r"COLLAPSED(.|\n)*export with force=True"):
        ot.export_policy(idle)
    assert [each.name for each in (idle.path / "export").iterdir()] == ["refused"]
    assert (idle.path / "export" / "refused" / "report.html").is_file()
    assert "COLLAPSED: " in ot.export_policy(idle, force=True)._repr_html_()


def make_constant(run: Path) -> None:
    """Make the policy of a run one that always holds."""
    import torch

    from offline_trader.hashing import file_sha256
    from offline_trader.learning.agents import load_learner

    learner = load_learner(run / "policy.d3")
    with torch.no_grad():
        for parameter in learner.actor.parameters():
            parameter.zero_()
    learner.engine.reload()
    learner.save(run / "policy.d3")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["facts"]["policy_sha256"] = file_sha256(run / "policy.d3")
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_unknown_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"did you mean 'env.simulator.commission_bps'"):
        ot.collect(settings={"env.simulator.comission_bps": 2}, progress=False)
    with pytest.raises(ConfigError, match=r"lies in no file(.|\n)*%%writefile my_rules.py"):
        ot.collect(experts=[lambda features, portfolio: features["gap"]], progress=False)
    assert list(tmp_path.iterdir()) == []


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str, /) -> None:
        """Remember it."""
        self.told.append(text)

    @contextmanager
    def task(self, label: str, total: float | None = None, /) -> Iterator[Advance]:
        """Remember its name."""
        self.told.append(label)
        yield lambda done, total=None, shown="", /: None


def test_progress_is_shown_told_or_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    brief: dict[str, Any] = {"start": "2017", "settings": EVALUATE}
    ot.evaluate("expert:technical", **brief, output="a", progress=False)
    assert capfd.readouterr() == ("", "")
    listener = Listener()
    ot.evaluate("expert:technical", **brief, output="b", progress=listener)
    assert listener.told[-1] == "evaluating"
    ot.evaluate("expert:technical", **brief, output="c")
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "no market was given; judged on sp500" in shown.err
    assert "evaluating" in shown.err


def test_a_frame_is_a_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept by its content, and judged as the file that it could have been read from."""
    monkeypatch.chdir(tmp_path)
    bars = ot.load_bars("sp500", start="2010")
    frame = bars.to_frame().rename(columns=str.title)
    found = ot.evaluate(
        "expert:technical", frame, start="2015", settings=EVALUATE, output="a", progress=False
    )
    (kept,) = (tmp_path / "runs" / "bars").iterdir()
    named = ot.load_bars(frame, symbol="SP")
    again = ot.evaluate(
        "expert:technical", named, start="2015", settings=EVALUATE, output="b", progress=False
    )
    same = ot.evaluate(
        "expert:technical", kept, start="2015", settings=EVALUATE, output="c", progress=False
    )
    assert len(list((tmp_path / "runs" / "bars").iterdir())) == 2
    assert found.measures == again.measures == same.measures
    assert found.evaluation.data_hash == same.evaluation.data_hash
    with pytest.raises(DataError, match="the frame: no column for close"):
        ot.evaluate("expert:technical", frame.drop(columns="Close"), progress=False)


def test_bars_that_a_source_gives_are_known_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offline_trader.workbench.market_sources import found_again, sources_of

    monkeypatch.chdir(tmp_path)
    bars = ot.load_bars("sp500")
    assert sources_of([bars, "nasdaq"]) == ["sp500", "nasdaq"]
    bars.to_frame().to_csv("own.csv")
    assert sources_of(ot.load_bars("own.csv")) == ["own.csv"]
    named = sources_of(bars.between("2010"))
    assert named is not None
    (part,) = named
    assert Path(part).parent == Path("runs/bars")
    assert ot.load_bars(part).sha256 == bars.between("2010").sha256
    assert found_again([Path(part).name, "own.csv", "sp500"]) == [part, "own.csv", "sp500"]


def test_returns_of_a_series_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    closes = ot.load_bars("sp500", start="2015").to_frame()["close"]
    returns = closes.pct_change().dropna().rename("own")
    found = ot.judge(returns, kind="returns", benchmark="sp500", progress=False)
    assert found.folder == Path("runs/judge-own")
    assert found.evaluation.kind == "imported"
    assert found.measures["total_return"] == pytest.approx(closes.iloc[-1] / closes.iloc[0] - 1)
    assert "Sharpe ratio" in found._repr_html_()
    with pytest.raises(ConfigError, match="overwrite=True"):
        ot.judge(returns, kind="returns", progress=False)
    with pytest.raises(ConfigError, match="one of 'auto', 'returns'"):
        ot.judge(returns, kind="reutrns", output="b", progress=False)
