"""Damaged files, killed commands, commands that meet: how often something is lost or wrong.

``python -m benchmarks.robustness`` opens some 20,000 mutants of every kind of file that a command
reads, kills collect, pretrain, finetune and evaluate at random moments, and starts them twice at
once. It ends within ``--minutes`` (10): what does not fit is left out, and the counts say so.
``--seed`` draws others; every fault is printed with the seed that repeats it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.interrupted_lines import COMMANDS, Line, finished, kill_one, race_one, start
from benchmarks.mutated_inputs import ARTEFACTS, make_all, outcome
from benchmarks.record import Figure, publish

HANG_S = 30.0
KILLS, RACES = 120, 60


def main() -> None:
    """Count, print the faults, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="bound of the whole run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
        figures = measure(Path(folder), args.seed, args.workers, deadline)
    publish("robustness", figures, seeds=[args.seed], facts={"minutes": args.minutes})


def measure(folder: Path, seed: int, workers: int, deadline: float) -> list[Figure]:
    """All figures."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    line = Line(folder / "line")
    assert finished(start(("export", "pretrain", "--force"), line.home)) == 0
    make_all(line.home, folder / "artefacts")
    faults: list[str] = []
    until = _share(deadline, 0.45)
    killed = _Repeat(kill_one, line, folder / "killed", seed, until)
    kills = _count_faults(killed, KILLS, workers, faults)
    until = _share(deadline, 0.5)
    races = _count_faults(
        _Repeat(race_one, line, folder / "raced", seed, until), RACES, workers, faults
    )
    lost = len(faults)
    found = mutants(folder, seed, workers, deadline - 10, faults)
    for fault in faults:
        print(fault)
    silent = sum(found[name]["other"] for name, a in ARTEFACTS.items() if a.hashed)
    total = sum(sum(counts.values()) for counts in found.values())
    broken = sum(n for counts in found.values() for kind, n in counts.items() if kind == "fault")
    hung = sum(counts["hang"] for counts in found.values())
    return [
        _count("mutants opened", total, "≥ 20000", total >= 20_000),
        _count("mutants: tracebacks", broken, "0", broken == 0),
        _count("mutants: hangs", hung, "0", hung == 0),
        _count("mutants of hashed files: other numbers without a word", silent, "0", silent == 0),
        _count("commands killed", kills, "≥ 100", kills >= 100),
        _count("pairs of commands at once", races, "≥ 50", races >= 50),
        _count("after kills and races: something lost, or other bytes", lost, "0", lost == 0),
        *(
            Figure(f"{name}: {kind}", counts[kind], "mutants")
            for name, counts in found.items()
            for kind in ("refused", "same", "other")
        ),
    ]


def _count(name: str, value: int, target: str, holds: bool) -> Figure:
    return Figure(name, value, "", target=target, holds=holds)


def _share(deadline: float, share: float) -> float:
    return time.monotonic() + share * max(deadline - time.monotonic(), 0.0)


@dataclass(frozen=True)
class _Repeat:
    """One command at a time, killed or met by its like, until the deadline."""

    one: Callable[[Line, str, Path, np.random.Generator], list[str]]
    line: Line
    place: Path
    seed: int
    deadline: float

    def __call__(self, i: int) -> list[str] | None:
        """What was wrong in the ``i``-th; None after the deadline."""
        if time.monotonic() > self.deadline:
            return None
        name = list(COMMANDS)[i % len(COMMANDS)]
        place = self.place / str(os.getpid())
        found = self.one(self.line, name, place, np.random.default_rng([self.seed, i]))
        return [f"{self.one.__name__}, seed {self.seed}, {i}: {text}" for text in found]


def _count_faults(repeat: _Repeat, count: int, workers: int, faults: list[str]) -> int:
    """How many of ``count`` there was time for."""
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        found = pool.map(repeat, range(count), chunksize=1)
    done = [each for each in found if each is not None]
    faults += [text for each in done for text in each]
    return len(done)


def mutants(
    folder: Path, seed: int, workers: int, deadline: float, faults: list[str]
) -> dict[str, Counter[str]]:
    """How the mutants of every artefact ended: ``refused``, ``same``, ``other``, fault, hang."""
    found: dict[str, Counter[str]] = {name: Counter() for name in ARTEFACTS}
    jobs = [(name, i) for name, artefact in ARTEFACTS.items() for i in range(artefact.count)]
    np.random.default_rng(seed).shuffle(jobs)  # so that a deadline takes of all alike
    lock = threading.Lock()

    def work(number: int) -> None:
        worker = _Opener(folder / "artefacts", folder / f"scratch-{number}")
        try:
            while time.monotonic() < deadline:
                with lock:
                    if not jobs:
                        break
                    name, i = jobs.pop()
                answer = worker.ask(str(name), seed * 1_000_003 + int(i))
                kind = answer.partition(":")[0]
                with lock:
                    found[str(name)][kind] += 1
                    if kind in ("fault", "hang") or (
                        kind == "other" and ARTEFACTS[str(name)].hashed
                    ):
                        faults.append(f"{name}, seed {seed * 1_000_003 + int(i)}: {answer}")
        finally:
            worker.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


class _Opener:
    """A process that opens mutants, started anew when one of them hangs or ends it."""

    def __init__(self, home: Path, scratch: Path) -> None:
        self._home, self._scratch = home, scratch
        self._begin()

    def _begin(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        shutil.copytree(self._home, self._scratch)
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_open_all, args=(other, self._home, self._scratch))
        self._process.start()
        other.close()
        self._pipe.recv()  # it has imported everything

    def ask(self, name: str, seed: int) -> str:
        """The outcome of one mutant."""
        self._pipe.send((name, seed))
        try:
            if self._pipe.poll(HANG_S):
                return str(self._pipe.recv())
            answer = f"hang: {HANG_S:.0f} s"
        except EOFError:
            answer = "fault: the process ended"
        self.close()
        self._begin()
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _open_all(pipe: Connection, home: Path, scratch: Path) -> None:
    import logging
    import warnings

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    for artefact in ARTEFACTS.values():
        artefact.open(home)
    pipe.send("ready")
    while True:
        name, seed = pipe.recv()
        pipe.send(outcome(name, seed, home, scratch))


if __name__ == "__main__":
    main()
