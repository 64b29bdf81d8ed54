"""The section about a policy's preferences: growth against drawdown, and what is on the front."""

from __future__ import annotations

import numpy as np

from offline_trader.evaluation.judging import Evaluation, PreferencePoint
from offline_trader.evaluation.report.blocks import Cell, Figure, Section, Table
from offline_trader.evaluation.report.charts import Dots, Line, LineChart, Role, format_number
from offline_trader.types import FloatArray

__all__ = ["pareto_chart", "pareto_section"]


def pareto_section(evaluation: Evaluation) -> Section:
    """What came out under every preference, each over the whole range, beside the comparators.

    Raises:
        ValueError: an evaluation without preferences.
    """
    sweep = evaluation.preferences
    if sweep is None:
        raise ValueError("an evaluation without preferences")
    front = sorted((p for p in sweep.points if p.on_front), key=lambda p: p.drawdown)
    lead = (
        f"The policy takes the weights of {len(sweep.names)} objectives. Here it was asked for one "
        "preference after another over the same bars. On the front are those that no other beats "
        "in growth without a deeper drawdown. All other sections show it with its default. Which "
        "of many is on the front of one range is partly luck: choose on the validation range."
    )
    others = {
        each.name: _figures(each.equity, evaluation.periods_per_year)
        for each in evaluation.comparators
    }
    rows = tuple(_row(point) for point in sweep.points if point.on_front or point.name)
    head = ("Preference", "On the front", "Log growth a year", "Largest drawdown", *sweep.names)
    caption = f"The default weights: {sweep.chosen}." if sweep.chosen else ""
    if not rows or not front:
        return Section("preferences", "Preferences", lead, (), "no preference was tried")
    chart = pareto_chart(sweep.points, others)
    return Section("preferences", "Preferences", lead, (Figure(chart), Table(head, rows, caption)))


def pareto_chart(
    points: tuple[PreferencePoint, ...], others: dict[str, tuple[float, float]]
) -> LineChart:
    """Growth a year over the largest drawdown, in percent of the peak.

    Args:
        points: of the preferences.
        others: growth and drawdown of what they are compared with, by name.
    """
    kinds: tuple[tuple[str, Role, list[PreferencePoint]], ...] = (
        ("dominated", "muted", [p for p in points if not p.on_front and p.name != "default"]),
        ("on the front", "good", [p for p in points if p.on_front and p.name != "default"]),
        ("default", "policy", [p for p in points if p.name == "default"]),
    )
    dots = [
        Dots(
            label,
            np.array([100.0 * p.drawdown for p in chosen]),
            np.array([p.growth for p in chosen]),
            role,
        )
        for label, role, chosen in kinds
        if chosen
    ]
    roles: tuple[Role, ...] = ("benchmark", "expert", "extra", "extra2", "extra3", "extra4")
    dots += [
        Dots(name.replace("_", " "), np.array([100.0 * fall]), np.array([growth]), role)
        for (name, (growth, fall)), role in zip(others.items(), roles, strict=False)
    ]
    x = np.unique(np.concatenate([each.x for each in dots]))
    x = np.concatenate([[0.0], x, [10.0 * np.ceil((x[-1] + 0.1) / 10.0)]])
    reached = [
        max((p.growth for p in points if 100.0 * p.drawdown <= at), default=np.nan) for at in x
    ]
    front = Line("most growth within a drawdown", np.array(reached), "good")
    return LineChart(
        "preferences",
        "Growth against drawdown of the preferences",
        x,
        (front,),
        dates=False,
        dots=tuple(dots),
        unit="percent",
        x_label="largest drawdown, % of the peak",
        y_label="net log growth a year",
    )


def _figures(equity: FloatArray, periods_per_year: float) -> tuple[float, float]:
    growth = np.log(equity[-1] / equity[0]) / (len(equity) - 1) * periods_per_year
    return float(growth), float((1.0 - equity / np.maximum.accumulate(equity)).max())


def _row(point: PreferencePoint) -> tuple[Cell, ...]:
    figures = (point.growth, point.drawdown, *point.weights)
    return (
        Cell(point.name or "drawn", numeric=False),
        Cell("yes" if point.on_front else "no", "good" if point.on_front else "plain", False),
        *(Cell(format_number(value, "percent")) for value in figures),
    )
