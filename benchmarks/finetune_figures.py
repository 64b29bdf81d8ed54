"""What the runs of ``benchmarks.finetune`` say: scores beside goals and peer, times, a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import Figure, student_interval

GOALS = {
    "realised": {"M1": 95.0, "M3": 96.0},
    "expected": {"M1": 98.5, "M3": 98.0},
}
REACHED = (90.0, 95.0)
PEER = "stable-baselines3"


def interval_of(values: list[float]) -> tuple[float, float] | None:
    """Of the mean; one seed has none."""
    return student_interval(values) if len(values) > 1 else None


def score_figure(title: str, which: str, runs: list[dict[str, Any]], goal: float) -> Figure:
    """Mean score of the ``warm``, ``last`` or ``kept`` policies; the kept ones have a goal."""
    scores, aimed = [run[which] for run in runs], which == "kept"
    mean = statistics.mean(scores)
    return Figure(
        f"{title}: {'warm start' if which == 'warm' else which}",
        mean,
        "score",
        interval=interval_of(scores),
        target=f"≥ {goal:g}" if aimed else "",
        holds=mean >= goal if aimed else None,
    )


def figures_of(warm: str, name: str, rewards: str, runs: list[dict[str, Any]]) -> list[Figure]:
    """What the seeds of a warm start on a market say."""
    found, goal = [], GOALS[rewards][name]
    title = f"{name} from {warm}" + ("" if rewards == "realised" else ", expected rewards")
    for which in ("warm", "last", "kept"):
        found.append(score_figure(title, which, runs, goal))
    gained = [run["kept"] - run["warm"] for run in runs]
    interval = interval_of(gained) if any(gained) else (0.0, 0.0)
    found.append(
        Figure(
            f"{title}: kept less warm start",
            statistics.mean(gained),
            "score",
            interval=interval,
            target="not below 0",
            holds=(interval or gained * 2)[1] >= 0.0,
        )
    )
    return found


def beside_peer(
    name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> list[Figure]:
    """Scores of the peer's runs, beside ours from the clone."""
    kept, last = ([run[which] for run in theirs] for which in ("kept", "last"))
    mine = statistics.mean(run["kept"] for run in ours)
    return [
        Figure(f"{name}, {PEER} from scratch: last", statistics.mean(last), "score",
               interval=interval_of(last)),
        Figure(f"{name}, {PEER} from scratch: best look", statistics.mean(kept), "score",
               interval=interval_of(kept), target="below ours from the clone",
               holds=statistics.mean(kept) < mine),
    ]  # fmt: skip


def times_of(name: str, runs: Mapping[str, list[dict[str, Any]]]) -> list[Figure]:
    """Seeds that reached 90 and 95, and their median seconds where most did, of each way."""
    found = []
    ways = {"clone": "from the clone", "default chain": "from the default chain", PEER: PEER}
    theirs = runs.get(f"{name} from {PEER}, realised", [])
    for goal in REACHED:
        late = {way: _median_of(runs.get(f"{name} from {way}, realised", []), goal) for way in ways}
        for way, title in ways.items():
            rows = runs.get(f"{name} from {way}, realised", [])
            if rows:
                reached = sum(run[f"seconds_to_{goal:g}"] is not None for run in rows)
                found.append(
                    Figure(f"{name}, {title}: seeds that reached {goal:g}", reached,
                           f"of {len(rows)}")
                )  # fmt: skip
            if not math.isfinite(late[way]):
                continue
            beside: dict[str, Any] = {}
            if theirs and way != PEER:
                never = not math.isfinite(late[PEER])  # then it took longer than all its time
                their = statistics.median(r["seconds"] for r in theirs) if never else late[PEER]
                beside = {"peer": PEER + (f", all its steps, without a {goal:g}" if never else ""),
                          "ratio": their / late[way], "target": "shorter",
                          "holds": late[way] < their}  # fmt: skip
            found.append(
                Figure(f"{name}, {title}: processor's seconds to {goal:g}", late[way], "s",
                       **beside)
            )  # fmt: skip
    return found


def _median_of(runs: list[dict[str, Any]], goal: float) -> float:
    """Seconds to ``goal``; ∞: most never reached it, or there are no runs."""
    late = [run[f"seconds_to_{goal:g}"] for run in runs]
    return statistics.median(math.inf if each is None else each for each in late or [None])


def draw(runs: Mapping[str, list[dict[str, Any]]], steps: int, path: Path) -> None:
    """A panel a market: mean and range of the seeds' scores over ``steps``."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "finetune"

    ways = {
        "clone, realised": "from the clone",
        "default chain, realised": "from the default chain",
        f"{PEER}, realised": f"{PEER} from scratch",
    }
    figure, panels = pyplot.subplots(1, 2, figsize=(9.0, 3.4), sharey=True, layout="constrained")
    for panel, name in zip(panels, ("M1", "M3"), strict=True):
        for (way, label), colour in zip(ways.items(), ("C0", "C2", "C1"), strict=True):
            rows = runs.get(f"{name} from {way}", [])
            if not rows:
                continue
            whole = min(len(row["curve"]) for row in rows)
            scores = np.array([row["curve"][:whole] for row in rows])
            at = np.linspace(0.0, steps, whole)
            if way.startswith(PEER):
                at = steps * np.arange(1, whole + 1) / whole
            panel.plot(at, scores.mean(axis=0), color=colour, label=label)
            panel.fill_between(at, scores.min(axis=0), scores.max(axis=0), color=colour, alpha=0.2)
        panel.axhline(100.0, color="grey", linewidth=0.8, linestyle=":")
        panel.set(title=name, xlabel="environment steps", ylim=(-20.0, 104.0))
    panels[0].set_ylabel("score")
    panels[1].legend(loc="lower right", frameon=False)
    figure.savefig(path, metadata={"Date": None})
