"""Runs, models and settings of others: opening them runs nothing, and changes in them are seen."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import onnx
import pytest

from offline_trader.cli.main import main
from offline_trader.export.model_file import CONTENT_HASH, UNSTAMPED, stamp
from offline_trader.hashing import file_sha256
from offline_trader.learning.agents import load_learner
from offline_trader.runs import Run

PRICES = "prices.csv"
COLLECT = [
    *("collect", "--end", "2021-09-30", "--id", "own/experts-v0", "--transitions", "400"),
    *("--set", "env.episode_bars=100", "--set", "score_episodes=2", "--root", "data", "-q"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "own/experts-v0", "--root", "data", "-q"),
    *("--set", "clone.updates=40", "--set", "clone.checkpoint_interval=20"),
    *("--set", "direct.updates=4", "--set", "direct.windows=8", "--set", "direct.bars=8"),
    *("--set", "offline.critic_updates=5", "--set", "offline.updates=10"),
    *("--set", "learner.batch_size=32", "--set", "learner.hidden=8,8"),
]
FINETUNE = [
    *("finetune", "runs/pretrain", "--root", "data", "-q", "--steps", "64", "--lanes", "4"),
    *("--set", "online.warmup_steps=32", "--set", "online.critic_updates=5"),
]
BRIEF = ["--set", "options.noise_draws=0", "--set", "options.replicates=200", "-q"]


def code_of(*words: str) -> int:
    """Exit code of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    return stop.value.code if isinstance(stop.value.code, int) else 0


def prices(folder: Path) -> Path:
    """Daily bars of a random walk."""
    rng = np.random.default_rng(3)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 700)))
    days = np.busday_offset(np.datetime64("2019-06-03"), np.arange(len(close)))
    lines = ["date,open,high,low,close,volume"]
    for day, price in zip(days, close, strict=True):
        cells = (price, 1.01 * price, 0.99 * price, price)
        lines.append(f"{day}," + ",".join(f"{each:.4f}" for each in cells) + ",1000")
    file = folder / PRICES
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def whole_line(folder: Path, market: str) -> Path:
    """``folder`` with a dataset, two runs and an export in it, made of the file ``market``."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert code_of(*COLLECT, "--market", market) == 0
        assert code_of(*PRETRAIN) == 0
        assert code_of(*FINETUNE) == 0
        assert code_of("export", "runs/finetune", "-q", "--force") == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole line, of a file that is named by its absolute path."""
    folder = tmp_path_factory.mktemp("line")
    return whole_line(folder, str(prices(folder)))


@pytest.fixture
def here(line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the line, and the working directory."""
    copy = tmp_path / "here"
    shutil.copytree(line, copy)
    monkeypatch.chdir(copy)
    return copy


class Calls:
    """Pickles to a call of ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def poison(run: Path, mark: Path, *, stated: bool = True) -> None:
    """Put a policy that would write ``mark`` into ``run``; the manifest states its hash."""
    (run / "policy.d3").write_bytes(pickle.dumps(Calls(os.system, f"touch {mark}")))
    change_facts(run, policy_sha256=file_sha256(run / "policy.d3") if stated else None)


def change_facts(run: Path, **facts: object) -> None:
    """Change facts in the manifest of ``run``; None takes one out."""
    file = run / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    for key, value in facts.items():
        manifest["facts"].pop(key, None)
        if value is not None:
            manifest["facts"][key] = value
    file.write_text(json.dumps(manifest), encoding="utf-8")


def change_model(path: Path, **facts: object) -> None:
    """Change what an exported model says of its training, and its hash with it."""
    model = onnx.load(path)
    for each in model.metadata_props:
        if each.key == "offline_trader.metadata":
            each.value = json.dumps({**json.loads(each.value), **facts})
        elif each.key == CONTENT_HASH:
            each.value = UNSTAMPED
    path.write_bytes(stamp(model.SerializeToString(deterministic=True)))
    path.with_name("manifest.json").unlink(missing_ok=True)


def as_seeds(here: Path) -> Path:
    """A folder of seeds whose best is the pretrained run."""
    folder = here / "runs" / "many"
    folder.mkdir()
    shutil.copytree(here / "runs" / "pretrain", folder / "seed-0")
    row = {"seed": 0, "run": "seed-0", "kept_score": 1.0}
    record = {"status": "done", "config_hash": "", "seeds": [row], "best": row}
    (folder / "seeds.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


ENTRIES: dict[str, list[str]] = {
    "evaluate": ["evaluate", "runs/pretrain", *BRIEF],
    "evaluate seeds": ["evaluate", "runs/many", *BRIEF],
    "export": ["export", "runs/pretrain", "--force", "-q"],
    "export of the best seed": ["export", "runs/many", "--force", "-q"],
    "finetune": [*FINETUNE, "--run", "runs/again"],
    "finetune of the best seed": ["finetune", "runs/many", *FINETUNE[2:], "--run", "runs/again"],
    "known-optimum": ["known-optimum", "M3-bars", "--policy", "runs/pretrain", "-q"],
}


@pytest.mark.parametrize("entry", list(ENTRIES))
def test_a_policy_that_would_run_something_is_refused(
    entry: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = here / "ran"
    many = as_seeds(here)
    for run in (here / "runs" / "pretrain", many / "seed-0"):
        poison(run, mark)
    capsys.readouterr()
    assert code_of(*ENTRIES[entry]) == 3
    told = capsys.readouterr().err
    assert "policy.d3 names" in told
    assert "system to be called" in told
    assert "nothing was run" in told
    assert "Traceback" not in told
    assert not mark.exists()


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "known-optimum"])
def test_a_dry_run_opens_no_model(entry: str, here: Path) -> None:
    mark = here / "ran"
    for run in (here / "runs" / "pretrain", as_seeds(here) / "seed-0"):
        poison(run, mark, stated=False)
    words = [word for word in ENTRIES[entry] if word != "--force"]
    assert code_of(*words, "--dry-run") == 3  # no hash is stated
    assert code_of(*words, "--dry-run", "--unverified") == 0
    assert not mark.exists()


def test_a_dry_run_opens_no_onnx_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    assert code_of("evaluate", "runs/finetune/export/policy.onnx", "--dry-run") == 0


@pytest.mark.parametrize("run", ["../pretrain", "/etc", "seed-0/../../pretrain", "", 7])
def test_seeds_name_runs_of_their_own_folder_only(
    run: object, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = as_seeds(here) / "seeds.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record["best"]["run"] = run
    file.write_text(json.dumps(record), encoding="utf-8")
    for words in (["export", "runs/many"], ["finetune", "runs/many", "--dry-run"]):
        assert code_of(*words) == 3
        told = capsys.readouterr().err
        assert "seeds.json" in told
        assert "Traceback" not in told


@pytest.mark.parametrize(
    "record", ["[]", "{", "{}", '{"status": "done"}', '{"status": 1, "best": [], "seeds": {}}']
)
def test_seeds_of_another_shape_are_refused(
    record: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (as_seeds(here) / "seeds.json").write_text(record, encoding="utf-8")
    for words in (["export", "runs/many"], ["finetune", "runs/many"]):
        assert code_of(*words) == 3
        assert "seeds.json" in capsys.readouterr().err


FOREIGN_RULE = """
from pathlib import Path
Path({mark!r}).touch()
def decide(features, portfolio):
    return features["rsi_14"] * 0.0
"""


@pytest.fixture
def rule(here: Path) -> tuple[str, Path]:
    """A rule in a file, and the mark that its import leaves."""
    mark = here / "imported"
    (here / "shared").mkdir()
    text = FOREIGN_RULE.format(mark=str(mark))
    (here / "shared" / "notes.py").write_text(text, encoding="utf-8")
    (here / "beside.py").write_text(text, encoding="utf-8")
    return "shared/notes.py:decide", mark


@pytest.mark.parametrize("name", ["shared/notes.py:decide", "beside:decide", "log:prices.csv"])
def test_a_model_that_names_code_has_none_imported(
    name: str, here: Path, rule: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model = here / "runs" / "finetune" / "export" / "policy.onnx"
    change_model(model, experts=["technical", name])
    assert code_of("evaluate", str(model), *[word for word in BRIEF if word != "-q"]) == 0
    streams = capsys.readouterr()
    assert f"not compared with {name}" in " ".join(streams.err.split())
    assert "technical" in streams.out
    assert not rule[1].exists()


def test_a_run_that_names_code_has_none_imported(here: Path, rule: tuple[str, Path]) -> None:
    run = here / "runs" / "pretrain"
    form = {"name": rule[0], "params": {"size": 1.0}}
    change_facts(run, experts=[{"label": "x", "expert": form, "weight": 1.0}])
    assert code_of("evaluate", str(run), *BRIEF) == 0
    assert code_of(*FINETUNE, "--run", "runs/again") == 0
    assert code_of("export", str(run), "--force", "-q") == 0
    assert not rule[1].exists()
    told = json.loads((run / "export" / "manifest.json").read_text(encoding="utf-8"))
    assert told["facts"]["experts"] == [f"{rule[0]}?size=1.0"]


def test_a_settings_file_that_names_code_needs_the_command_line(
    here: Path, rule: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "collect.yaml").write_text(f"experts: [technical, '{rule[0]}']\n", encoding="utf-8")
    (here / "evaluate.yaml").write_text(f"options: {{experts: ['{rule[0]}']}}\n", encoding="utf-8")
    given = {
        "collect.yaml": ["collect", "--market", PRICES, "--dry-run"],
        "evaluate.yaml": ["evaluate", "expert:technical", "--market", PRICES, "--dry-run"],
    }
    for file, words in given.items():
        assert code_of(*words, "--config", file) == 2
        told = capsys.readouterr().err
        assert f"{file}: " in told
        assert f"names code, {rule[0]}" in told
        assert not rule[1].exists()
    assert code_of("walk-forward", "--config", "collect.yaml", "--dry-run") == 2
    assert not rule[1].exists()
    assert code_of(*given["collect.yaml"], "--config", "collect.yaml", "--expert", rule[0]) == 0
    assert rule[1].exists()  # named here by its user


def test_a_changed_policy_is_seen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = here / "runs" / "pretrain" / "policy.d3"
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    file.write_bytes(whole)
    for words in (
        ["evaluate", "runs/pretrain", *BRIEF],
        ["evaluate", "runs/pretrain", "--dry-run"],
        ["evaluate", "runs/pretrain", "--unverified", *BRIEF],
        ["export", "runs/pretrain", "--force"],
        [*FINETUNE, "--run", "runs/again"],
    ):
        assert code_of(*words) == 3
        told = capsys.readouterr().err
        assert "policy.d3 has SHA-256" in told
        assert "take it from a copy" in told
    assert not (here / "runs" / "again").exists()
    assert not (here / "runs" / "evaluation-pretrain").exists()


def test_a_changed_model_is_seen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = here / "runs" / "finetune" / "export" / "policy.onnx"
    whole = file.read_bytes()
    for place in (100, len(whole) // 2, len(whole) - 5):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        file.write_bytes(damaged)
        for words in (BRIEF, ["--dry-run"], ["--unverified", *BRIEF]):
            assert code_of("evaluate", str(file), *words) == 3
            told = capsys.readouterr().err
            assert "policy.onnx" in told
            assert "Traceback" not in told


def test_a_run_without_a_hash_needs_a_word(here: Path) -> None:
    change_facts(here / "runs" / "pretrain", policy_sha256=None)
    assert code_of("export", "runs/pretrain", "--force", "-q") == 3
    assert code_of("export", "runs/pretrain", "--force", "-q", "--unverified") == 0
    assert code_of("evaluate", "runs/pretrain", "--unverified", *BRIEF) == 0
    assert code_of(*FINETUNE, "--run", "runs/again", "--unverified") == 0


def test_a_damaged_checkpoint_is_seen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = here / "runs" / "pretrain"
    file = run / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**manifest, "status": "interrupted"}), encoding="utf-8")
    latest = Run.open(run).latest_checkpoint()
    assert latest is not None
    whole = bytearray(latest[1].read_bytes())
    whole[len(whole) // 2] ^= 1
    latest[1].write_bytes(whole)
    assert code_of(*PRETRAIN, "--resume") == 3
    told = capsys.readouterr().err
    assert latest[1].name in told
    assert "the run then goes on from the one before" in " ".join(told.split())
    before = (run / "policy.d3").read_bytes()
    latest[1].unlink()
    latest[1].with_name(f"{latest[1].name}.json").unlink()
    assert code_of(*PRETRAIN, "--resume") == 0
    assert (run / "policy.d3").read_bytes() == before


def test_a_dataset_that_is_replaced_while_its_training_begins_is_seen(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scaler of the old one would go with the transitions of the new one."""
    import offline_trader.datasets

    read = offline_trader.datasets.load_transitions

    def late(*given: Any, **named: Any) -> object:
        again = [*COLLECT, "--market", PRICES, "--overwrite", "--seed", "9"]
        assert code_of(*again) == 0
        return read(*given, **named)

    monkeypatch.setattr(offline_trader.datasets, "load_transitions", late)
    assert code_of(*PRETRAIN, "--run", "runs/late") == 3
    assert "was replaced while the training began" in capsys.readouterr().err
    assert not (here / "runs" / "late" / "policy.d3").exists()


def test_stock_d3rlpy_opens_what_is_written(line: Path) -> None:
    file = line / "runs" / "finetune" / "policy.d3"
    seen = np.random.default_rng(0).normal(size=(5, 37)).astype(np.float32)
    stock = d3rlpy.load_learnable(str(file))
    np.testing.assert_allclose(stock.predict(seen), load_learner(file)(seen), atol=1e-6)


def test_the_model_is_the_same_from_another_folder(line: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "deeper"
    folder.mkdir(parents=True)
    whole_line(folder, str(prices(folder)))
    for name in ("runs/finetune/export/policy.onnx", "runs/finetune/policy.d3"):
        assert (folder / name).read_bytes() == (line / name).read_bytes(), name
    hashes = {Run.open(each / "runs/finetune").manifest["config_hash"] for each in (folder, line)}
    assert len(hashes) == 1


WRONG: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("command", "config_hash", "data_hash", "status"), (None, 7, [], True)),
    "seed": (None, "x", 1.5, [], True),
    "parents": (None, 7, "x", {}, [None], [{"path": 1, "sha256": 2}]),
    "facts": (None, 7, "x", [], {}),
}


@pytest.mark.parametrize("key", list(WRONG))
def test_a_manifest_that_lacks_a_key_is_refused(
    key: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = here / "runs" / "pretrain" / "manifest.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    for value in WRONG[key]:
        broken = {**whole, key: value}
        if value is None:
            del broken[key]
        file.write_text(json.dumps(broken), encoding="utf-8")
        for words in (["evaluate", "runs/pretrain"], ["export", "runs/pretrain"], FINETUNE):
            assert code_of(*words, "--dry-run") == 3, (key, value)
            told = capsys.readouterr().err
            assert "manifest.json" in told
            assert key in told or (key, value) == ("status", None)


@pytest.mark.parametrize(
    "key",
    [
        "layout",
        "layout_hash",
        "env",
        "validation_env",
        "experts",
        "privileged",
        "dataset",
        "offline",
    ],
)
def test_a_fact_of_another_type_is_refused(
    key: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = here / "runs" / "pretrain"
    file = run / "manifest.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    values: tuple[object, ...] = (7, "x", [7], {"a": 1}, [{"expert": {}}], {"market": 7})
    for value in values:
        if type(value) is type(whole["facts"][key]) and key in ("layout_hash", "dataset"):
            continue
        changed = {**whole, "facts": {**whole["facts"], key: value}}
        file.write_text(json.dumps(changed), encoding="utf-8")
        for words in (["evaluate", "runs/pretrain", *BRIEF], ["export", "runs/pretrain"]):
            assert code_of(*words) == 3, (key, value)
            told = capsys.readouterr().err
            assert "pretrain" in told
            assert "Traceback" not in told


@pytest.mark.parametrize(
    "text", ["learner: 3\n", "[]", "learner: {}\n", "{", "seed: x\nlearner: {}\nvalidation: {}\n"]
)
def test_a_config_that_lacks_a_key_is_refused(
    text: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "runs" / "pretrain" / "config.yaml").write_text(text, encoding="utf-8")
    assert code_of(*FINETUNE, "--run", "runs/again") == 3
    told = capsys.readouterr().err
    assert "config.yaml" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("facts", "key"),
    [
        ({"seed": "one"}, "seed"),
        ({"seed": -1}, "seed"),
        ({"seed": 10**400}, "64 bits"),
        ({"market": 7}, "market"),
        ({"market": [7]}, "market"),
        ({"simulator": []}, "simulator"),
        ({"simulator": {"commission_bps": "many"}}, "simulator"),
        ({"simulator": {"no_such_rule": 1}}, "simulator"),
        ({"train_range": 7}, "train_range"),
        ({"train_range": ["2012"]}, "train_range"),
        ({"train_range": [None, "never"]}, "never"),
        ({"validation_range": [1, 2]}, "validation_range"),
        ({"experts": 7}, "experts"),
        ({"experts": [None]}, "experts"),
        ({"config_hash": []}, "config_hash"),
        ({"tz": 7}, "tz"),
    ],
)
def test_metadata_of_other_types_are_refused(
    facts: dict[str, object], key: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = here / "runs" / "finetune" / "export" / "policy.onnx"
    change_model(model, **facts)
    assert code_of("evaluate", str(model), *BRIEF) == 3
    told = capsys.readouterr().err
    assert "policy.onnx" in told
    assert key in told
    assert "Traceback" not in told
