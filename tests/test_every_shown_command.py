"""Every command that the documents show is run, each in a project that has what it names.

What is shown stays as it is; budgets that make it a matter of seconds are appended.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_trader.cli.main import main
from offline_trader.markets import load_market
from offline_trader.serving import AuditLog

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = {
    "README.md": "tests/test_shown_commands.py runs it in order",
    "quick-start.md": "the same",
}
NOT_RUN = {
    "--install-completion": "it writes into the start-up file of whoever runs the tests",
    "offline-trader serve": "it serves until it is ended: tests/serving",
    "offline-trader dashboard": "it shows until it is ended: tests/monitoring",
    "audit-log replay": "its log is that of a desk with the model: tests/cli/test_audit_log.py",
}
NETWORKS = "--set learner.hidden=16,16"
DIRECT = "--set direct.updates=3 --set direct.windows=8 --set direct.bars=8"
EVOLUTION = "--set evolution.generations=2 --set evolution.population=4"
OFFLINE = "--set offline.critic_updates=10 --set offline.updates=10"
ONLINE = "--set online.warmup_steps=32 --set online.critic_updates=5"
JUDGED = "--set options.noise_draws=0 --set options.replicates=100"
WINDOWS = (
    "--set windows.train_bars=500 --set windows.validation_bars=200 --set windows.test_bars=600"
)
BUDGETS = {
    "demo": f"--set transitions=2000 --set clone.updates=40 {DIRECT} {OFFLINE} {ONLINE} {NETWORKS}"
    f" --set online.steps=128 --set auxiliary.updates=40 {JUDGED}",
    "collect": "--transitions 2000 --set score_episodes=2",
    "pretrain": f"--set clone.updates=40 {DIRECT} {OFFLINE} {NETWORKS} {EVOLUTION}"
    " --set auxiliary.updates=40"
    " --set dagger.rounds=2 --set dagger.steps=32 --set dagger.clone.updates=10"
    " --set validation.min_trades_per_1000=0",
    "finetune": f"--set online.steps=128 {ONLINE} --set evolution_agent.generations=2"
    " --set evolution_agent.population=4 --set hybrid_agent.generations=1"
    " --set hybrid_agent.every=16 --set hybrid_agent.population=4 --set impala.steps=2000",
    "export": "--force",
    "evaluate": JUDGED,
    "walk-forward": f"{WINDOWS} --set transitions=2000 --set clone.updates=40 {DIRECT} {OFFLINE}"
    f" {ONLINE} {NETWORKS} --set online.steps=128",
    "audit": "--bars 400 --cuts 2",
    "power": "--coefficients 0.1 --seeds 1 --years 2 --stages bc --set test_years=1"
    f" --set transitions=2000 --set clone.updates=20 {NETWORKS} --workers 1",
}
RUNS = {
    "demo": "demo",
    "pretrain": "pretrain",
    "finetune": "finetune",
    "walk-forward": "walk-forward",
}


def shown() -> list[tuple[str, str]]:
    """(document, line) of every ``offline-trader`` line in the bash blocks of ``docs/``."""
    found = []
    for path in sorted((ROOT / "docs").glob("*.md")):
        blocks = re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        lines = [line.strip() for block in blocks for line in block.splitlines()]
        found += [(path.name, line) for line in lines if line.startswith("offline-trader ")]
    return found


LINES = [
    (document, line)
    for document, line in shown()
    if document not in ELSEWHERE and not any(part in line for part in NOT_RUN)
]


def brief(line: str) -> str:
    """The line with what makes it short."""
    words = shlex.split(line)
    name = words[1]
    if name == "known-optimum":
        return f"{line} {_brief_score(words)}"
    if name == "collect" and "--log" in words and "--expert" not in words:
        return line  # as long as the log
    if name == "walk-forward" and "--train" in words:
        return f"{line} {WINDOWS}"
    if name == "finetune" and "--steps" in words:
        return f"{line} --set online.steps=128 --set lanes=4 {ONLINE}"
    extra = BUDGETS.get(name, "")
    if name == "walk-forward" and "prices.csv" not in words:
        extra += " --set env.start=2010-01-01"
    return f"{line} {extra}"


def _brief_score(words: list[str]) -> str:
    if len(words) == 2:
        return ""
    score = "--set bars=4000 --set paths=2" if "M3-bars" in words else "--set score_steps=100"
    if "--policy" in words:
        return score
    method = words[words.index("--train") + 1] if "--train" in words else "that of the run"
    direct = DIRECT if method in ("direct", "default") else ""
    if method == "evolution":
        return f"{score} {EVOLUTION} {NETWORKS}"
    return f"{score} {direct} {'' if method == 'direct' else OFFLINE} {NETWORKS}"


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line, comments=True)[1:])
    return stop.value.code if isinstance(stop.value.code, int) else 0


def _write_tables(folder: Path) -> None:
    """Prices of 2015 to 2024 and results, as the documents call them."""
    bars = load_market("sp500").slice(2_530, 5_030)
    days = bars.timestamps + np.timedelta64(2_192, "D")
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    prices = pd.DataFrame({"timestamp": days, **columns})
    prices.to_csv(folder / "prices.csv", index=False)
    prices.to_parquet(folder / "more.parquet")
    own = pd.date_range("2015-01-01", periods=500, freq="B")
    earned = np.random.default_rng(0).normal(5e-4, 0.01, 500)
    pd.DataFrame({"date": own, "returns": earned}).to_csv(folder / "returns.csv", index=False)
    pnl = pd.DataFrame({"date": own, "pnl": np.round(1e5 * earned, 2)})
    pnl.to_csv(folder / "daily_pnl.csv", index=False)
    factors = pd.DataFrame({"date": own, "Mkt-RF": np.round(100 * earned, 2), "HML": 0.1})
    factors.to_csv(folder / "factors.csv", index=False)
    trades = pd.DataFrame(
        {
            "entry time": days[100:400:20],
            "exit time": days[110:410:20],
            "entry price": bars.open[100:400:20],
            "exit price": bars.open[110:410:20],
            "size": 10.0,
        }
    )
    trades.to_csv(folder / "trades.csv", index=False)


def _write_code(folder: Path) -> None:
    """Rules as a document shows them; features and policies of the shape that others describe."""
    document = (ROOT / "docs" / "experts-and-datasets.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    (rules,) = (block for block in blocks if "def dips(" in block)
    (folder / "my_rules.py").write_text(rules, encoding="utf-8")
    (folder / "my_features.py").write_text(
        "def momentum(bars):\n    return bars['close'].pct_change(20).fillna(0.0)\n",
        encoding="utf-8",
    )
    (folder / "my_policies.py").write_text(
        "import numpy as np\nimport torch\n\n\n"
        "def act(observations):\n    return np.tanh(50 * observations[:, 0])\n\n\n"
        "def load():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(37, 1), torch.nn.Tanh())\n\n\n"
        "def train(window):\n    return act\n",
        encoding="utf-8",
    )
    text = "gates: {sharpe: {threshold: 0.1}}\n"
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    text = "channels: [{name: file, file: alerts.jsonl}]\n"
    (folder / "alerts.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the line was run once."""
    folder = tmp_path_factory.mktemp("template") / "project"
    folder.mkdir()
    _write_tables(folder)
    _write_code(folder)
    log = AuditLog(folder / "desk.db")
    log.append("note", {"i": 0})
    log.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "datasets"))
        pretrain = "offline-trader pretrain --dataset sp500/experts-v0 --validate-until 2014-12-31"
        judged = "--start 2015-01-01"
        for line in (
            "offline-trader collect --market sp500 --end 2012-12-31 --id sp500/experts-v0",
            pretrain,
            *(f"{pretrain} --run runs/{name} --seed {seed}" for seed, name in enumerate("abc")),
            f"{pretrain} --seeds 4 --run runs/five",
            "offline-trader finetune runs/pretrain",
            "offline-trader export runs/finetune",
            "offline-trader finetune runs/pretrain --her exposure --run runs/her",
            "offline-trader finetune runs/pretrain --objectives given --run runs/objectives",
            "offline-trader finetune runs/pretrain --agent options --run runs/options",
            "offline-trader export runs/options --output options/policy.onnx",
            "offline-trader walk-forward --market sp500",
            f"offline-trader evaluate runs/finetune/export/policy.onnx {judged}",
            f"offline-trader evaluate expert:technical --market sp500 {judged}",
            "offline-trader known-optimum M3-narrow --run runs/pretrain",
        ):
            assert run(f"{brief(line)} -q") == 0, line
    shutil.copytree(folder / "runs" / "five", folder / "runs" / "many")
    for file in (folder / "runs" / "finetune" / "export").iterdir():
        if file.is_file():
            shutil.copy(file, folder / file.name)
    return folder


@pytest.mark.parametrize(("document", "line"), LINES, ids=[f"{d}: {x}" for d, x in LINES])
def test_a_shown_command_runs(
    document: str,
    line: str,
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tmp_path / "project"
    shutil.copytree(template, project)
    monkeypatch.chdir(project)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(project / "datasets"))
    words = shlex.split(line)
    if words[1] in RUNS:  # what the line makes is not there yet
        named = words[words.index("--run") + 1] if "--run" in words else f"runs/{RUNS[words[1]]}"
        shutil.rmtree(project / named, ignore_errors=True)
    if words[1] == "collect" and "--overwrite" not in words:
        shutil.rmtree(project / "datasets" / words[words.index("--id") + 1], ignore_errors=True)
    for folder in (project / "runs").glob("evaluation-*"):
        if words[1] == "evaluate":
            shutil.rmtree(folder)
    # trainings of seconds may fail a gate, collapse or hardly trade, and that is said by 4
    allowed = {0, 4} if words[1] == "demo" or "--gates" in words else {0}
    assert run(brief(line)) in allowed, capsys.readouterr().err


def test_what_is_not_run_is_still_shown() -> None:
    every = [line for _, line in shown()]
    assert all(any(part in line for line in every) for part in NOT_RUN)
    assert {document for document, _ in shown()} >= set(ELSEWHERE) - {"README.md"}
