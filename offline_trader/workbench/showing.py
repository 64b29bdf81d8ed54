"""Results as a notebook shows them: plain tables and pictures, nothing that has to be loaded."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from offline_trader.pipeline.run_facts import StageFacts
    from offline_trader.workbench.results import Dataset, Model, Trained

__all__ = ["dataset_html", "model_html", "stage_sentences", "trained_html"]

_SCORE = "validation/score"


def dataset_html(dataset: Dataset) -> str:
    """Totals, a row an expert, and the picture of the collection."""
    found = dataset.summary
    head = (
        f"<strong>{escape(found.dataset_id)}</strong>: {found.steps:,} steps in "
        f"{found.episodes:,} episodes, {found.trades:,} trades, {found.size_mb:.1f} MB"
    )
    rows = [
        [
            each.label,
            f"{each.episodes:,}",
            f"{each.steps:,}",
            _number(each.mean_return),
            _number(each.trades_per_1000_steps),
        ]
        for each in found.behaviours
    ]
    plot = Path(found.plot).read_bytes() if Path(found.plot).is_file() else b""
    columns = ["expert", "episodes", "steps", "mean log return", "trades per 1,000 steps"]
    return f"<div>{head}</div>{_table(columns, rows)}{_image(plot)}"


def trained_html(trained: Trained) -> str:
    """What each stage did, which policy was kept, and how the validation score moved."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in stage_sentences(trained))
    head = f"<div><strong>{escape(str(trained.path))}</strong><ul>{lines}</ul></div>"
    return head + _image(_validation(trained))


def _validation(trained: Trained) -> bytes:
    """The validation score over the steps of the run as a picture; nothing where it has no two."""
    from offline_trader.evaluation.report import Line, LineChart, png_bytes
    from offline_trader.runs import Run

    rows = [row for row in Run.open(trained.run.path).metrics() if _SCORE in row]
    scores = np.array([row[_SCORE] for row in rows], dtype=np.float64)
    if np.isfinite(scores).sum() < 2:
        return b""
    steps = np.array([row["step"] for row in rows], dtype=np.float64)
    chart = LineChart(
        "validation",
        "Sharpe ratio on the validation range (gaps: no candidate)",
        steps,
        (Line("validation", scores, "policy"),),
        dates=False,
        x_label="step of the run",
    )
    return png_bytes(chart)


def stage_sentences(trained: Trained) -> list[str]:
    """A sentence a stage of the training."""
    run = trained.run
    facts, lines = run.facts, []
    if run.path != trained.path:
        lines.append(f"of the seeds in {trained.path} the best by validation: {run.path.name}")
    if facts.clone is not None:
        lines.append(f"clone: {facts.clone.updates:,} updates{_error(facts.clone.holdout_mse)}")
    lines += [_sentence(name, stage) for name, stage in facts.stages.items()]
    return lines


def _error(mse: float | None) -> str:
    return "" if mse is None else f", mean square error {mse:.4f} on held-out transitions"


def _sentence(name: str, stage: StageFacts) -> str:
    score = "" if stage.kept_score is None else f", validation score {stage.kept_score:.3f}"
    kept = {
        "best": f"policy of step {stage.kept_step:,} kept",
        "warm_start": "the policy that it began with kept",
        "last": "last policy kept (no validation)",
    }[stage.kept]
    why = f": {stage.reason}" if stage.reason else ""
    gained = ""
    if stage.interval is not None and stage.difference is not None:
        low, high = stage.interval
        gained = (
            f"; net log growth a year {stage.difference:+.4f} beside the one that it began with, "
            f"95 % interval {low:+.4f} to {high:+.4f}"
        )
    return f"{name}: {stage.updates:,} updates; {kept}{why}{score}{gained}"


def model_html(model: Model) -> str:
    """The file, how near it is to torch, and the verdict on collapse."""
    found = model.exported
    reasons = found.collapse.get("reasons", {})
    verdict = "; ".join(f"{name}: {why}" for name, why in reasons.items()) or "no collapse"
    rows = [
        ["model", str(found.model)],
        ["size", f"{found.size_bytes:,} bytes"],
        ["SHA-256", f"{found.sha256[:16]}…"],
        ["largest difference from torch", f"{found.max_abs_difference:.1e}"],
        ["verdict", verdict],
        ["manifest", str(found.manifest)],
    ]
    return _table(None, rows)


def _table(columns: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> str:
    head = "" if columns is None else "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>"
        + f'<td style="text-align:left">{escape(row[0])}</td>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _image(png: bytes) -> str:
    if not png:
        return ""
    data = base64.b64encode(png).decode()
    return f'<img alt="" style="max-width:100%" src="data:image/png;base64,{data}">'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"
