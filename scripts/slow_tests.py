#!/usr/bin/env python3
"""Runs the slow tests, each function in a process of its own, until a time is up.

Exit code 1 if one failed or the tests cannot be collected. Those that the time did not suffice for
are listed as not run: they are no failure, and no success either.

    scripts/slow_tests.py --minutes 18 --workers 2 [tests/evaluation …]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event

PYTEST = [sys.executable, "-P", "-m", "pytest", "-q", "-m", "slow"]
NOTHING_SELECTED = 5  # pytest's exit code


@dataclass
class Box:
    """What is left of the time, and the processes that it ends.

    Attributes:
        stop: moment of ``time.monotonic`` at which everything ends.
        closed: set when nothing more is to start.
        running: processes that have not ended.
    """

    stop: float
    closed: Event = field(default_factory=Event)
    running: set[subprocess.Popen[str]] = field(default_factory=set)

    @property
    def left(self) -> float:
        """Seconds, 0 if no more."""
        return 0.0 if self.closed.is_set() else max(self.stop - time.monotonic(), 0.0)

    def close(self) -> None:
        """End what is running, with the processes that it started, and let nothing start."""
        self.closed.set()
        for process in list(self.running):
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and those that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def collected(where: list[str]) -> list[str]:
    """The ids of all slow tests, parameters left out: they share what is dear to set up.

    Raises:
        SystemExit: pytest could not collect them.
    """
    command = [*PYTEST, "--collect-only", *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == NOTHING_SELECTED:
        return []
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        sys.exit("the slow tests could not be collected")
    lines = [line for line in done.stdout.splitlines() if "::" in line]
    return list(dict.fromkeys(line.partition("[")[0] for line in lines))


def verdict(test: str, box: Box) -> str:
    """Run one test: ``passed``, ``FAILED`` or ``not run``; what a failed one printed is shown."""
    if box.left == 0.0:
        return "not run"
    begun = time.monotonic()
    process = subprocess.Popen(
        [*PYTEST, test],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    box.running.add(process)
    try:
        output, _ = process.communicate(timeout=box.left)
    except subprocess.TimeoutExpired:
        end(process)
        process.communicate()
        return "not run"
    finally:
        box.running.discard(process)
    if box.closed.is_set():
        return "not run"
    # A test that pytest no longer finds (NOTHING_SELECTED) has not passed either.
    result = "FAILED" if process.returncode else "passed"
    shown = f"{output}\n" if process.returncode else ""
    print(f"{shown}{result:8}{time.monotonic() - begun:6.0f} s  {test}", flush=True)
    return result


def main() -> int:
    """Run them and say what became of each; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("where", nargs="*", help="files or folders; by default all tests")
    options = parser.parse_args()
    tests = collected(options.where)
    box = Box(time.monotonic() + 60.0 * options.minutes)
    with ThreadPoolExecutor(options.workers) as pool:
        try:
            verdicts = list(pool.map(lambda test: verdict(test, box), tests))
        finally:
            box.close()
    by_verdict = {
        kind: [test for test, got in zip(tests, verdicts, strict=True) if got == kind]
        for kind in ("passed", "FAILED", "not run")
    }
    for kind in ("FAILED", "not run"):
        for test in by_verdict[kind]:
            print(f"{kind}: {test}")
    print("slow tests:", ", ".join(f"{len(some)} {kind}" for kind, some in by_verdict.items()))
    return 1 if by_verdict["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
