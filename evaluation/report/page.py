"""Renders evaluations as one self-contained HTML page, and its figures as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from offline_trader import __version__
from offline_trader.evaluation.judging import Evaluation
from offline_trader.evaluation.report.behaviour import behaviour_sections
from offline_trader.evaluation.report.blocks import Section
from offline_trader.evaluation.report.evidence import evidence_sections
from offline_trader.evaluation.report.goals import goals_section
from offline_trader.evaluation.report.labels import named
from offline_trader.evaluation.report.options import options_section
from offline_trader.evaluation.report.pareto import pareto_section
from offline_trader.evaluation.report.performance import performance_sections
from offline_trader.evaluation.report.png import write_pngs
from offline_trader.evaluation.report.svg import draw
from offline_trader.evaluation.report.verdict import Banner, banner
from offline_trader.runs import atomic_write

__all__ = ["render_page", "render_report", "report_sections", "write_report"]


def report_sections(evaluation: Evaluation) -> list[Section]:
    """All sections in page order; one without data says so."""
    evidence = evidence_sections(evaluation)
    behaviour = behaviour_sections(evaluation)
    if evaluation.goals is not None:  # of policies that take one
        behaviour.append(goals_section(evaluation.goals))
    if evaluation.options is not None:  # of policies that choose among some
        behaviour.append(options_section(evaluation.options))
    if evaluation.preferences is not None:
        behaviour.append(pareto_section(evaluation))
    return [*performance_sections(evaluation), evidence[0], *behaviour, *evidence[1:]]


def render_report(evaluation: Evaluation) -> str:
    """The report as HTML text: nothing loaded, light and dark, desk and phone.

    Its one script is part of it and shows the values under the pointer.
    """
    return render_page(
        f"Evaluation of {evaluation.name.replace('_', ' ')}",
        _years(evaluation),
        [banner(evaluation)],
        report_sections(evaluation),
        evaluation.notes,
    )


def render_page(
    title: str,
    subtitle: str,
    banners: Sequence[Banner],
    sections: Sequence[Section],
    notes: Sequence[str] = (),
) -> str:
    """HTML text of banners, sections and notes in the report's dress."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    here = files("offline_trader.evaluation.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(here.joinpath("page.html").read_text(encoding="utf-8"))
    facts: dict[str, Any] = {
        "title": title,
        "subtitle": subtitle,
        "banners": list(banners),
        "sections": list(sections),
        "notes": list(notes),
        "version": __version__,
        "style": Markup(here.joinpath("style.css").read_text(encoding="utf-8")),
        "script": Markup(here.joinpath("hover.js").read_text(encoding="utf-8")),
        "draw": lambda chart: Markup(draw(chart)),
    }
    return template.render(facts)


def write_report(evaluation: Evaluation, path: Path, *, png_directory: Path | None = None) -> None:
    """Writes the page to ``path`` and, if asked for, every figure as a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, render_report(evaluation).encode("utf-8"))
    if png_directory is not None:
        charts = [chart for section in report_sections(evaluation) for chart in section.charts]
        markets = ", ".join(PurePath(source).name for source in evaluation.market)
        owner = f"{named(evaluation.name)}{' on ' + markets if markets else ''}"
        write_pngs(charts, png_directory, f"{owner}, {_years(evaluation)}")


def _years(evaluation: Evaluation) -> str:
    return f"{evaluation.start[:10]} to {evaluation.end[:10]}"
