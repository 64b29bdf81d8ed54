"""How every benchmark states what it found: machine, versions, command, figures with targets."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.runs import atomic_write, package_versions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Figure", "machine", "publish", "show", "student_interval"]

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: unique in its benchmark; README and docs quote it by this name.
        value: the measurement.
        unit: of ``value``; ``1/s``, ``s``, ``MB``, ``score`` …
        interval: low and high of the repeats or of a bootstrap; None: measured once.
        peer: what it is compared with, with its version; empty: nothing.
        ratio: how many times better than the peer; None: no peer.
        target: what was asked for, in words, such as ``≥ 25e6`` or ``≤ 0.4``.
        holds: whether the target is met; None: no target.
    """

    name: str
    value: float
    unit: str
    interval: tuple[float, float] | None = None
    peer: str = ""
    ratio: float | None = None
    target: str = ""
    holds: bool | None = None


def student_interval(values: ArrayLike) -> tuple[float, float]:
    """Student's 95 % interval of the mean of ``values`` [n], n of 2 or more."""
    import numpy as np
    from scipy.special import stdtrit

    laid = np.asarray(values, np.float64)
    mean, n = float(laid.mean()), len(laid)
    half = float(stdtrit(n - 1, 0.975) * laid.std(ddof=1) / np.sqrt(n))
    return mean - half, mean + half


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, thread settings, load average, system."""
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": {name: os.environ[name] for name in threads if name in os.environ},
        "load": list(os.getloadavg()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def show(figures: Sequence[Figure]) -> None:
    """Print the figures as a table."""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        ratio = f"{figure.ratio:,.1f} × {figure.peer}" if figure.ratio is not None else ""
        verdict = {None: "", True: "holds", False: "FAILS"}[figure.holds]
        print(
            f"{figure.name:{width}}  {figure.value:>12,.4g} {figure.unit:8}"
            f" {ratio:32} {figure.target:12} {verdict}"
        )


def publish(
    name: str,
    figures: Sequence[Figure],
    *,
    seeds: Sequence[int] = (),
    facts: Mapping[str, Any] | None = None,
    results: Path = RESULTS,
    module: str = "",
) -> Path:
    """Print the figures as a table and write ``results/NAME.json``; returns the file's path.

    Args:
        name: of the benchmark, its module's.
        figures: what was measured.
        seeds: every seed that was used.
        facts: settings of the measurement, versions of peers, repeats.
        module: the one that measured, where it has another name.
    """
    show(figures)
    payload = {
        "benchmark": name,
        "command": " ".join(["python", "-m", f"benchmarks.{module or name}", *_words()]),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "versions": package_versions(),
        "seeds": list(seeds),
        "facts": dict(facts or {}),
        "figures": [asdict(figure) for figure in figures],
    }
    path = results / f"{name}.json"
    atomic_write(path, (json.dumps(payload, indent=2, allow_nan=False) + "\n").encode())
    print(f"written: benchmarks/results/{path.name}")
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _words() -> list[str]:
    """The words of this command; of a place on this machine no more than that it is a file."""
    return ["FILE" if Path(word).is_absolute() else word for word in sys.argv[1:]]


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    folder = Path(__file__).resolve().parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip()
