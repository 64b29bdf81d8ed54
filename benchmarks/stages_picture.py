"""Draws what each stage of pretraining adds, out of the records of its benchmarks; trains nothing.

A panel a stage: seeds as dots, their mean as a diamond; 100 is the best policy, of the auxiliary
tasks what a teacher earns who knows the hidden direction. Where several benchmarks stand in a panel
their seeds differ. ``docs/stages.md`` shows it. The file names the hash of the scores that it was
drawn from, by which a test tells one that the records have gone on from.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS
from offline_trader.types import digest

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "stages.svg"
DATASETS = ("M1-wide", "M1-narrow", "M3-wide", "M3-narrow")
Panel = Mapping[str, Sequence[float]]


def panels() -> dict[str, Panel]:
    """By title the rows of a panel: scores of the seeds by what was trained."""
    hidden, dagger, lines = _facts("auxiliary")["hidden"], _facts("dagger"), _facts("offline_lines")
    direct, evolved, chain = _facts("direct"), _facts("evolution"), _facts("default_chain")
    return {
        "auxiliary tasks, hidden direction": {
            name: [seed[name]["score"] for seed in hidden]
            for name in hidden[0]
            if name.endswith("then clone of few labels") or name.startswith("clone of few labels")
        },
        "DAgger, M3": {
            f"{who}, {fit} fit": [
                row["score"]
                for key, row in dagger["rows"].items()
                if key.startswith(f"{who} {fit}")
            ]
            for fit in ("likelihood", "mean")
            for who in ("clone", "DAgger")
        },
        "direct": {
            f"{name}, {method}": direct["scores"][f"{name} · {method}"]
            for name in DATASETS
            for method in ("direct without the forecast", "direct")
        },
        "evolution": {
            f"{name}, {method}": scores
            for name in evolved["scores"]
            for method, scores in (
                ("clone", _of(lines, "without", name, "clone")),
                ("evolution", evolved["scores"][name]),
            )
        },
        "offline": {
            f"{name}, {method}": _of(lines, part, name, method)
            for name in DATASETS
            for part, method in (
                ("without", "clone"),
                ("without", "without replay"),
                ("with", "with replay"),
            )
        },
        "default chain": {
            key.removeprefix("score · "): [row["score"] for row in rows]
            for key, rows in chain["rows"].items()
            if key.startswith("score · ")
        },
    }


def _facts(benchmark: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((RESULTS / f"{benchmark}.json").read_text())["facts"]
    return facts


def _of(lines: Mapping[str, Any], part: str, name: str, method: str) -> list[float]:
    return [row["scores"][method] for row in lines["rows"][f"{part} · {name}"]]


def draw(found: Mapping[str, Panel], path: Path) -> None:
    """Six panels, rows from above."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "stages"
    canvas, axes = pyplot.subplots(3, 2, figsize=(11.0, 8.4), layout="constrained")
    for axis, (title, rows) in zip(axes.flat, found.items(), strict=True):
        axis.set_title(title, fontsize=10)
        for place, scores in enumerate(rows.values()):
            axis.plot(scores, [place] * len(scores), ".", color="#475569", ms=5)
            axis.plot(statistics.mean(scores), place, "D", color="#2563eb", ms=5)
        axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.axvline(100.0, color="#cbd5e1", lw=1, zorder=0)
        axis.invert_yaxis()
    for axis in axes[-1]:
        axis.set_xlabel("% of the optimum", fontsize=8)
    canvas.savefig(path, metadata={"Date": None, "Description": f"scores {digest(found)}"})
    pyplot.close(canvas)


if __name__ == "__main__":
    draw(panels(), PICTURE)
