"""Commands that are killed, and commands that meet: what ``benchmarks.robustness`` counts of them.

One process imports what the commands import and forks a child a command, so that hundreds of
them fit into minutes. A killed command gets SIGKILL at a random moment and is then repeated
(``--resume`` where it has one); two that meet leave a barrier together. What is found afterwards is
compared with what an undisturbed command left.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["COMMANDS", "Line", "kill_one", "race_one"]

MARKET = ("--market", "sp500")
COLLECT = (
    *("collect", *MARKET, "--end", "2004-12-31", "--id", "small/experts-v0"),
    *("--transitions", "2000", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
)
PRETRAIN = (
    *("pretrain", "--dataset", "small/experts-v0", "--validate-until", "2005-12-31"),
    *("--set", "clone.updates=60", "--set", "clone.checkpoint_interval=20"),
    *("--set", "clone.log_interval=10", "--set", "offline.log_interval=10"),
    *("--set", "offline.critic_updates=20", "--set", "offline.updates=40"),
    *("--set", "offline.checkpoint_interval=20", "--set", "learner.batch_size=32"),
    *("--set", "learner.hidden=16,16", "--set", "validation.min_trades_per_1000=0"),
)
FINETUNE = (
    *("--steps", "192", "--lanes", "4", "--set", "online.warmup_steps=32"),
    *("--set", "online.critic_updates=10", "--set", "online.checkpoint_interval=64"),
    *("--set", "online.log_interval=32"),
)
EVALUATE = (
    *("evaluate", "expert:technical", *MARKET, "--start", "2015-01-01", "--end", "2015-12-31"),
    *("--set", "options.noise_draws=0", "--set", "options.replicates=200"),
)
HANG_S = 120.0


@dataclass(frozen=True)
class Command:
    """One command of the line and how its result is compared.

    Attributes:
        words: the command, given the folder that it works in.
        again: what repeats it after a kill.
        place: its result below the folder.
        digest: of the result at a place; what may differ between equal runs is left out.
        answers: exit codes that one of two may end with when they meet.
    """

    words: Callable[[Path], tuple[str, ...]]
    again: tuple[str, ...]
    place: str
    digest: Callable[[Path], str]
    answers: tuple[int, ...] = (0, 2, 3)


def run_digest(run: Path) -> str:
    """Of a run: its policy, the content of its metrics, and its status."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    metrics = (run / "metrics.jsonl").read_bytes()
    policy = (run / "policy.d3").read_bytes()
    parts = (policy, metrics, manifest["status"].encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def dataset_digest(data: Path) -> str:
    """Of a dataset: every number that training reads."""
    from offline_trader.datasets import load_transitions

    found = load_transitions("small/experts-v0", data)
    arrays = (found.observations, found.actions, found.rewards, found.next_observations)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def evaluation_digest(folder: Path) -> str:
    """Of an evaluation: measures, intervals and verdicts."""
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    kept = {key: found[key] for key in ("measures", "intervals", "collapse", "verdicts")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


COMMANDS: Mapping[str, Command] = {
    "collect": Command(
        lambda at: (*COLLECT, "--root", str(at / "data"), "--overwrite"),
        ("--resume",),
        "data",
        dataset_digest,
    ),
    "pretrain": Command(
        lambda at: (*PRETRAIN, "--root", str(at / "data"), "--run", str(at / "pretrain")),
        ("--resume",),
        "pretrain",
        run_digest,
    ),
    "finetune": Command(
        lambda at: (
            *("finetune", str(at / "pretrain"), *FINETUNE),
            *("--root", str(at / "data"), "--run", str(at / "finetune")),
        ),
        ("--resume",),
        "finetune",
        run_digest,
    ),
    "evaluate": Command(
        lambda at: (*EVALUATE, "--output", str(at / "evaluation"), "--overwrite"),
        (),
        "evaluation",
        evaluation_digest,
    ),
}


class Line:
    """An undisturbed line below ``home``: what disturbed ones are compared with.

    Attributes:
        digests: of every command's result.
        seconds: that every command took.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.digests: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        home.mkdir(parents=True, exist_ok=True)
        for name, command in COMMANDS.items():
            for imported in (False, True):
                if name not in ("collect", "evaluate"):
                    shutil.rmtree(home / command.place, ignore_errors=True)
                begun = time.monotonic()
                code = finished(start(command.words(home), home, modules=home / "modules.txt"))
                assert code == 0, f"{name} ended with {code}: {(home / 'log.txt').read_text()}"
                self.seconds[name] = time.monotonic() - begun
                if not imported:
                    _import_all(home / "modules.txt")
            self.digests[name] = command.digest(home / command.place)

    def before(self, name: str, place: Path) -> Path:
        """A folder in which all commands before ``name`` have been run; collect and evaluate find
        their earlier result, too."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        kept = {"collect": "data", "pretrain": "data", "finetune": "data pretrain"}
        for part in kept.get(name, "data evaluation").split():
            shutil.copytree(self.home / part, place / part)
        return place


def kill_one(line: Line, name: str, place: Path, rng: np.random.Generator) -> list[str]:
    """Kill the command at a random moment, look, repeat it, compare; what was wrong."""
    command = COMMANDS[name]
    at = line.before(name, place)
    child = start(command.words(at), at)
    time.sleep(float(rng.uniform(0.0, 1.1 * line.seconds[name])))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wrong = []
    earlier = name in ("collect", "evaluate")
    if earlier and (found := _digest(command, at)) != line.digests[name]:
        wrong.append(f"after the kill its earlier result is {found}")
    code = finished(start((*command.words(at), *command.again), at))
    if code != 0:
        wrong.append(f"repeated, it ended with {code}")
    elif (found := _digest(command, at)) != line.digests[name]:
        wrong.append(f"repeated, its result is {found}")
    return [f"{name}: {text}" for text in wrong]


def race_one(line: Line, name: str, place: Path, rng: np.random.Generator) -> list[str]:
    """Start the command twice at once (the second up to a third of its time later); what was
    wrong."""
    command = COMMANDS[name]
    at = line.before(name, place)
    later = float(rng.uniform(0.0, line.seconds[name] / 3)) * float(rng.integers(0, 2))
    words = (*command.words(at), *command.again)
    go = time.time() + 0.05
    children = [start(words, at, not_before=go + delay) for delay in (0.0, later)]
    codes = [finished(child) for child in children]
    wrong = []
    if 0 not in codes or not set(codes) <= set(command.answers):
        wrong.append(f"two at once ended with {codes}")
    if (found := _digest(command, at)) != line.digests[name]:
        wrong.append(f"two at once left {found}")
    return [f"{name}: {text}" for text in wrong]


def _import_all(listed: Path) -> None:
    """Import the modules that a command had in the end, as far as they can be by name."""
    for name in listed.read_text(encoding="utf-8").split():
        if name not in sys.modules and "__main__" not in name:
            with suppress(Exception), redirect_stderr(io.StringIO()):
                importlib.import_module(name)


def start(
    words: tuple[str, ...], folder: Path, not_before: float = 0.0, modules: Path | None = None
) -> int:
    """Fork a child that runs ``offline-trader WORDS`` in ``folder``; its process number.

    In the end it writes the names of its ``modules`` into that file.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        with open(folder / "log.txt", "ab") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        program = importlib.import_module("offline_trader.cli.main")

        time.sleep(max(not_before - time.time(), 0.0))
        program.main([*words, "--quiet"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    finally:
        if modules is not None:
            modules.write_text("\n".join(sorted(sys.modules)), encoding="utf-8")
        os._exit(code)


def finished(child: int) -> int:
    """The child's exit code; −9 and a kill if it hangs."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -9


def _digest(command: Command, at: Path) -> str:
    """The result's digest, or what kept it from being read."""
    try:
        return command.digest(at / command.place)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
