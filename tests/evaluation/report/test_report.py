"""The report: whole, self-contained, honest about what is missing; its charts lose no extreme."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.evaluation import report
from offline_trader.evaluation.judging import (
    ActionMap,
    Comparator,
    CostPoint,
    Curve,
    Evaluation,
    GateRow,
    InstrumentRow,
    RegimeRow,
    Robustness,
    ScoreRow,
    TradeRow,
    WindowRow,
)
from offline_trader.evaluation.report import page as report_page
from offline_trader.evaluation.report import png, render_report, svg, write_report
from offline_trader.evaluation.report.axes import date_axis, linear_axis, log_axis
from offline_trader.evaluation.report.charts import (
    BarChart,
    HeatMap,
    IntervalChart,
    LineChart,
    Role,
    format_number,
    thin,
)
from offline_trader.evaluation.report.labels import short_names
from offline_trader.evaluation.report.page import report_sections
from offline_trader.evaluation.report.performance import rolling_sharpe
from offline_trader.evaluation.report.png import COLOURS
from offline_trader.evaluation.report.verdict import banner

SECTIONS = [
    *("summary", "equity", "underwater", "rolling", "months", "comparison", "statistics"),
    *("trades", "actions", "collapse", "regimes", "costs", "walk-forward", "stages", "seeds"),
    *("oracle", "known-optimum", "gates"),
]


def bare(n: int = 600, seed: int = 0) -> Evaluation:
    """An evaluation of which only the curve is known."""
    rng = np.random.default_rng(seed)
    equity = 1e4 * np.concatenate([[1.0], np.cumprod(1.0 + rng.normal(4e-4, 0.01, n))])
    days = np.busday_offset(np.datetime64("2015-01-02"), np.arange(n + 1))
    stamps = tuple(f"{day}T00:00:00" for day in days)
    measures: dict[str, float | None] = {"total_return": 0.1, "cagr": 0.05, "sharpe": 0.6}
    return Evaluation(
        name="thing",
        kind="imported",
        fingerprint="",
        data_hash="ab" * 32,
        start=stamps[0],
        end=stamps[-1],
        n_bars=n,
        periods_per_year=252.0,
        trials=17,
        simulator={},
        curve=Curve(stamps, equity),
        measures=measures,
    )


def full() -> Evaluation:
    """An evaluation that has everything."""
    found = bare()
    curve, n = found.curve, found.n_bars
    units = np.zeros(n + 1)
    units[[5, 50]] = 3.0, -3.0
    price = np.where(units != 0, 100.0, np.nan)
    whole = Curve(
        curve.timestamps,
        curve.equity,
        close=curve.equity / 90.0,
        exposure=np.full(n + 1, 0.5),
        actions=np.linspace(-1, 1, n),
        fill_units=units,
        fill_price=price,
    )
    measures: dict[str, float | None] = {"total_return": 0.2, "sharpe": 0.4}
    stamps = curve.timestamps
    return replace(
        found,
        kind="policy",
        fingerprint="cd" * 32,
        simulator={"commission_bps": 1.0, "action_mode": "order", "fill": "next_open"},
        curve=whole,
        intervals={"sharpe": (-0.4, 1.6)},
        statistics={"psr": 0.9, "dsr": 0.3, "n_trials": 17.0},
        collapse={"n_effective": 9.0, "mi_norm": 0.2},
        comparators=(
            Comparator(
                "buy_and_hold", "benchmark", curve.equity[::-1], measures, 0.2, (-1, 1), 0.4
            ),
            Comparator("technical", "expert", curve.equity * 2, measures),
        ),
        spa_p_value=0.4,
        instruments=(InstrumentRow("sp500", "ab" * 32, measures),),
        trades=(TradeRow("sp500", stamps[5], stamps[50], 1, 100.0, 101.0, 3.0, 45),),
        regimes=(
            RegimeRow("bull", 500, 0.8, 1.0, 5e-4, 4e-4),
            RegimeRow("bear", 10, 0.2, None, None, None, "not enough data"),
        ),
        robustness=Robustness(
            (CostPoint(0.0, 0.1, 1.0, 0.07, 9), CostPoint(50.0, -0.1, -1.0, 0.06, 9)),
            25.0,
            "",
            {"sharpe": 0.5, "cagr": 0.04},
            10.0,
            (0.5, 0.7),
        ),
        action_map=ActionMap(("rsi_14",), np.linspace(-1, 1, 10)[None, :], np.full(21, 1 / 21)),
        gates=(
            GateRow("sharpe", "pass", 0.6, (0.1, 1.1), 600, "> 0.5"),
            GateRow("action_entropy", "not evaluable", None, None, None, "> 0.6", "no such market"),
        ),
        windows=(
            WindowRow("1", stamps[0], stamps[250], 250, 0.5, (-1.5, 2.5), 0.1, 0.05, -0.1),
            WindowRow("2", stamps[250], stamps[500], 250, -0.5, None, -0.1, 0.05, -0.2),
        ),
        seeds=(ScoreRow("seed 1", 0.5, (0.1, 0.9)),),
        stages=(
            ScoreRow(
                "clone", None, None, "its policy goes on", measures={"validation_sharpe": 0.4}
            ),
            ScoreRow(
                "direct",
                0.021,
                (-0.01, 0.052),
                "its best policy: not worse",
                "",
                measures={"validation_sharpe": 0.71},
            ),
        ),
        oracle=(ScoreRow("log growth", 0.02, None, "perfect foresight: 40"),),
        known_optimum=(ScoreRow("M1-wide", 96.0, (94.0, 98.0)),),
        notes=("A note for the reader.",),
    )


class Page(HTMLParser):
    """Collects text, attributes and whether tags are balanced."""

    VOID = frozenset({"meta", "path", "rect", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("evaluation", [bare(), full()], ids=["bare", "full"])
def test_the_page_is_whole_and_loads_nothing(evaluation: Evaluation) -> None:
    html = render_report(evaluation)
    page = Page(html)
    assert page.stack == []
    assert [value for tag, name, value in page.attributes if (tag, name) == ("section", "id")][
        : len(SECTIONS)
    ] == SECTIONS
    links = [value for _, name, value in page.attributes if name in ("href", "src", "srcset")]
    assert set(links) == {f"#{key}" for key in SECTIONS}
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert "url(" not in html
    assert "@import" not in html
    assert len(html.encode()) < 6e6
    assert re.search(r"\bnan\b", html, re.IGNORECASE) is None


def test_a_section_without_data_says_so() -> None:
    shown = {section.key: section for section in report_sections(bare())}
    missing = {key for key, section in shown.items() if not section.blocks}
    assert missing == set(SECTIONS) - {"summary", "equity", "underwater", "rolling", "months"}
    text = Page(render_report(bare())).text
    assert all(shown[key].missing in text for key in missing)
    assert all(len(shown[key].missing) > 10 for key in missing)
    assert all(section.blocks for section in report_sections(full()))


def test_each_stage_says_what_it_added() -> None:
    (section,) = [each for each in report_sections(full()) if each.key == "stages"]
    (chart,) = section.charts
    assert isinstance(chart, IntervalChart)
    assert chart.categories == ("direct",)
    text = Page(render_report(full())).text
    for part in ("0.71", "2.1 %", "its best policy: not worse", "Stages of the training"):
        assert part in text


def test_a_walk_is_not_told_commands_that_take_a_policy() -> None:
    walk = replace(bare(), windows=full().windows)
    shown = {section.key: section for section in report_sections(walk)}
    for key in ("seeds", "known-optimum", "gates"):
        assert not shown[key].blocks
        assert not shown[key].command
        assert {one.key: one for one in report_sections(bare())}[key].command


def test_windows_without_a_trade_count_as_not_above_zero() -> None:
    idle = WindowRow("3", "2011-01-03", "2011-12-30", 250, None, None, 0.0, 0.05, 0.0, 0)
    evaluation = full()
    text = Page(render_report(replace(evaluation, windows=(*evaluation.windows, idle)))).text
    assert "Sharpe ratio above 0 in 33 % of 3 windows" in text
    assert "standard deviation between windows 0.71. Ahead of buy-and-hold in 33 %." in text


def test_what_was_measured_is_on_the_page() -> None:
    text = Page(render_report(full())).text
    for part in (
        "abababababababab",  # data hash
        "Trials 17",
        "95 %: −0.40 to 1.60",
        "Break-even cost a side 25.0 bp",
        "not enough data",
        "no such market",
        "A note for the reader.",
        "perfect foresight: 40",
        "Sharpe ratio above 0 in 50 % of 2 windows",
        "0.60 (from 0.50 to 0.70, 2 draws)",
        "M1-wide",
        "buy-and-hold",
    ):
        assert part in text, part


def test_every_seed_and_their_middle_half_are_on_the_page() -> None:
    measures: dict[str, float | None] = {"sharpe": 0.5, "cagr": 0.031, "mi_norm": None}
    seeds = tuple(
        ScoreRow(f"seed {k}", k / 10, (k / 10 - 1, k / 10 + 1), "no collapse", measures=measures)
        for k in (3, 5, 7)
    )
    middle = ScoreRow(
        "interquartile mean",
        0.5,
        (0.31, 0.69),
        "over 3 seeds",
        summary=True,
        measures=measures,
        intervals={"cagr": (0.011, 0.052)},
    )
    found = replace(full(), seeds=(*seeds, middle))
    (section,) = [each for each in report_sections(found) if each.key == "seeds"]
    (chart,) = section.charts
    assert isinstance(chart, IntervalChart)
    assert chart.roles == ("policy", "policy", "policy", "expert")
    text = Page(render_report(found)).text
    for part in (
        "seed 7 0.50 3.1 % – no collapse",
        "interquartile mean 0.50 3.1 % – over 3 seeds",
        "95 % from – 1.1 %",
        "95 % to – 5.2 %",
    ):
        assert part in text, part
    assert Evaluation.from_dict(found.to_dict()).to_dict() == found.to_dict()


def test_a_score_in_another_unit_is_in_the_table_alone() -> None:
    rows = (
        ScoreRow("cql on M1", 91.0, (88.0, 93.0), "3 seeds", measures={"seed 0": 90, "seed 1": 92}),
        ScoreRow("cql on M0", 0.31, (0.2, 0.4), "one seed", unit="bp a step"),
    )
    found = replace(full(), known_optimum=rows)
    (section,) = [each for each in report_sections(found) if each.key == "known-optimum"]
    (chart,) = section.charts
    assert isinstance(chart, IntervalChart)
    assert chart.categories == ("cql on M1",)
    text = Page(render_report(found)).text
    assert "0.31 bp a step" in text
    assert "90.0, 92.0" in text
    alone = replace(full(), known_optimum=rows[1:])
    assert "0.31 bp a step" in Page(render_report(alone)).text


def test_what_fills_an_empty_section_is_named() -> None:
    text = Page(render_report(bare())).text
    for command in (
        "offline-trader walk-forward",
        "offline-trader evaluate RUN RUN RUN --as-seeds",
        "offline-trader known-optimum M3-narrow --seeds 3 --run RUN",
        "offline-trader evaluate … --gates default",
    ):
        assert f"To fill this: {command}" in text, command


def test_hidden_layers_are_shown_or_said_to_be_none() -> None:
    layers: dict[str, float | None] = {
        "dormant_ratio": 0.25,
        "effective_rank": 43,
        "hidden_units": 128,
        "feature_units": 64,
    }
    text = Page(render_report(replace(full(), collapse={"n": 9.0, **layers}))).text
    assert "25.0 % of 128" in text
    assert "43 of 64" in text
    none: dict[str, float | None] = dict.fromkeys(layers)
    text = Page(render_report(replace(full(), collapse={"n": 9.0, **none}))).text
    assert text.count("not evaluable there is no network to look into") == 2


def test_orders_that_were_not_kept_are_not_called_none() -> None:
    curve = replace(full().curve, fill_units=None, fill_price=None)
    text = Page(render_report(replace(full(), curve=curve))).text
    assert "the orders are not kept" in text
    assert "0 filled orders" not in text
    walk = replace(full(), action_map=None, collapse=None)
    assert Page(render_report(walk)).text.count("Every window has a policy of its own") == 2


def test_every_axis_has_a_name_or_is_time() -> None:
    for section in report_sections(full()):
        for chart in section.charts:
            if isinstance(chart, LineChart):
                assert chart.y_label, chart.name
                assert chart.dates or chart.x_label, chart.name
            elif isinstance(chart, BarChart | IntervalChart):
                assert chart.x_label, chart.name


def test_experts_have_colours_of_their_own() -> None:
    found = full()
    rival = found.comparators[1]
    many = tuple(replace(rival, name=f"expert {k}") for k in range(6))
    found = replace(found, comparators=(found.comparators[0], *many))
    (section,) = [each for each in report_sections(found) if each.key == "equity"]
    (chart,) = section.charts
    assert isinstance(chart, LineChart)
    roles = [line.role for line in chart.lines]
    assert len(set(roles)) == len(roles) == 8
    style = (Path(report.__file__).parent / "style.css").read_text()
    for role in roles:
        assert style.count(f"--{role}:#") == 2, f"{role} in light and dark"
    assert set(roles) <= set(COLOURS)


def test_parameters_are_named_only_to_tell_experts_apart() -> None:
    names = ["ma_cross?fast=5", "donchian?bars=20", "donchian?bars=55", "buy_and_hold"]
    assert short_names(names) == ["ma_cross", "donchian?bars=20", "donchian?bars=55", names[3]]
    rival = full().comparators[1]
    found = replace(full(), comparators=(replace(rival, name="ma_cross?fast=5"),))
    assert "fast" not in Page(render_report(found)).text


def test_a_mean_by_regime_has_the_interval_of_its_sample() -> None:
    returns = np.random.default_rng(3).normal(4e-4, 0.01, 500)
    sharpe = float(returns.mean() / returns.std(ddof=1) * np.sqrt(252.0))
    row = RegimeRow("bull", 500, 1.0, sharpe, float(returns.mean()), 0.0)
    (section,) = [
        each for each in report_sections(replace(full(), regimes=(row,))) if each.key == "regimes"
    ]
    (chart,) = section.charts
    assert isinstance(chart, IntervalChart)
    half = 1.96 * returns.std(ddof=1) / np.sqrt(500)
    assert chart.lower[0] == pytest.approx(returns.mean() - half)
    assert chart.upper[0] == pytest.approx(returns.mean() + half)


def test_names_cannot_inject_markup() -> None:
    attack = "<script>alert(1)</script>"
    found = full()
    hostile = replace(
        found,
        name=attack,
        notes=(attack,),
        comparators=(replace(found.comparators[0], name=attack),),
        regimes=(replace(found.regimes[0], name=attack),),
        seeds=(ScoreRow(attack, 0.5, None, attack),),
        gates=(replace(found.gates[0], name=attack, reason=attack),),
    )
    html = render_report(hostile)
    assert attack not in html
    assert "&lt;script&gt;" in html


def test_a_row_without_a_point_has_its_place_in_the_png() -> None:
    nothing, one = np.array([np.nan, 1.0]), np.array([np.nan, 0.5])
    roles: tuple[Role, ...] = ("policy", "policy")
    chart = IntervalChart("x", "", ("idle", "busy"), nothing, one, one, roles, "ratio", 0.0)
    named = r'<text class="end"[^>]* y="([^"]*)">([^<]*)<'
    heights = {text: float(y) for y, text in re.findall(named, png.picture(chart))}
    assert heights["busy"] - heights["idle"] == svg.ROW


def test_a_picture_says_whose_it_is_and_shows_what_the_page_shows(tmp_path: Path) -> None:
    from matplotlib.image import imread

    found = replace(full(), name="<mine>", market=("prices & more.csv",))
    charts = [chart for section in report_sections(found) for chart in section.charts]
    (growth,) = (chart for chart in charts if chart.name == "equity")
    drawn = png.picture(growth, "<mine> on prices & more.csv")
    assert "&lt;mine&gt; on prices &amp; more.csv" in drawn
    curves = re.findall(r'<path class="line [^>]* d="([^"]*)"/>', svg.draw(growth))
    assert curves
    assert all(curve in drawn for curve in curves)
    write_report(found, tmp_path / "report.html", png_directory=tmp_path)
    pixels = imread(tmp_path / "equity.png")[..., :3]
    blue = np.abs(pixels - np.array([0x25, 0x63, 0xEB]) / 255).max(axis=-1) < 0.02
    dark = pixels.max(axis=-1) < 0.4  # the title's letters, drawn without a font of the system
    assert blue.sum() > 300
    assert dark.sum() > 300


def test_every_chart_becomes_a_png(tmp_path: Path) -> None:
    found = full()
    write_report(found, tmp_path / "report.html", png_directory=tmp_path / "png")
    names = [chart.name for section in report_sections(found) for chart in section.charts]
    assert len(names) == len(set(names)) == 15
    written = sorted((tmp_path / "png").iterdir())
    assert [path.stem for path in written] == sorted(names)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    first = (tmp_path / "report.html").read_bytes()
    write_report(found, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == first


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"verdicts": ("COLLAPSED", "STATE-BLIND")}, "Collapsed"),
        ({"verdicts": ("STATE-BLIND",)}, "State-blind"),
        ({"statistics": {"dsr": None}}, "Not evaluable"),
        ({"statistics": {"dsr": 0.95}}, "No evidence of skill"),
        ({"statistics": {"dsr": 0.99}}, "Profitable, but not shown to beat buy-and-hold"),
        ({"statistics": {"dsr": 0.99}, "p": 0.01}, "Evidence of skill"),
        ({"statistics": {"dsr": 0.99}, "p": 0.01, "verdicts": ("COLLAPSED",)}, "Collapsed"),
    ],
)
def test_the_verdict(changes: dict[str, object], headline: str) -> None:
    found = full()
    if "p" in changes:
        p_value = changes.pop("p")
        rival = replace(found.comparators[0], spa_p_value=p_value)  # type: ignore[arg-type]
        found = replace(found, comparators=(rival,))
    assert banner(replace(found, **changes)).headline == headline  # type: ignore[arg-type]


def test_months_compound_to_the_curve() -> None:
    found = full()
    (section,) = [each for each in report_sections(found) if each.key == "months"]
    (chart,) = section.charts
    assert isinstance(chart, HeatMap)
    months = chart.values[:, :12]
    total = np.prod(1.0 + months[np.isfinite(months)]) - 1.0
    assert total == pytest.approx(found.curve.equity[-1] / found.curve.equity[0] - 1.0)
    assert np.prod(1.0 + chart.values[:, 12]) - 1.0 == pytest.approx(total)
    january = found.curve.seconds < datetime(2015, 2, 1, tzinfo=UTC).timestamp()
    last = found.curve.equity[np.flatnonzero(january)[-1]]
    assert chart.values[0, 0] == pytest.approx(last / found.curve.equity[0] - 1.0)


def test_rolling_sharpe_is_the_ratio_of_each_window() -> None:
    returns = np.random.default_rng(1).normal(1e-3, 0.01, 200)
    ratio, error = rolling_sharpe(returns, 50, 252.0)
    window = returns[120:170]
    one_bar = window.mean() / window.std(ddof=1)
    assert ratio[169] == pytest.approx(one_bar * np.sqrt(252.0), rel=1e-9)
    assert error[169] == pytest.approx(np.sqrt((1 + one_bar**2 / 2) / 50 * 252.0), rel=1e-9)
    assert np.isnan(ratio[:49]).all()
    assert np.isfinite(ratio[49:]).all()
    assert np.isnan(rolling_sharpe(np.full(200, 1e-3), 50, 252.0)[0]).all()


def test_a_window_that_earns_interest_alone_has_no_rolling_sharpe_ratio() -> None:
    """Running sums leave a rounding there, by which the ratio came out at thousands."""
    returns = np.concatenate([np.random.default_rng(1).normal(0, 0.02, 5_000), np.full(300, 1e-4)])
    ratio, _ = rolling_sharpe(returns, 100, 252.0)
    assert np.isnan(ratio[-100:]).all()
    assert np.nanmax(np.abs(ratio)) < 100


def test_thinning_keeps_every_extreme() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=20_000)
    y[12_345], y[777] = 50.0, -60.0
    y[3_000:3_100] = np.nan
    rows = thin(np.arange(20_000.0), [y], 700)
    assert len(rows) <= 3 * 700 + 1
    assert {0, 777, 12_345, 19_999} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()
    assert len(thin(np.arange(100.0), [y[:100]], 700)) == 100


def test_ticks_are_round_and_cover_the_data() -> None:
    axis = linear_axis(np.array([-0.034, 0.181]), "percent")
    assert [text for _, text in axis.ticks] == ["−10 %", "0 %", "10 %", "20 %"]
    assert axis(np.array([axis.lower, axis.upper])).tolist() == [0.0, 1.0]
    assert [text for _, text in log_axis(np.array([0.9, 40.0]), "number").ticks] == [
        "1.00",
        "2.00",
        "5.00",
        "10.0",
        "20.0",
    ]
    for low, high in ((0.45, 2.1), (680.0, 2900.0), (1810.0, 2930.0), (0.9, 1.5)):
        ticks = log_axis(np.array([low, high]), "number").ticks
        assert 4 <= len(ticks) <= 12, ticks
        assert len({text for _, text in ticks}) == len(ticks), ticks
    start, end = (datetime(y, 6, 1, tzinfo=UTC).timestamp() for y in (2012, 2018))
    assert [text for _, text in date_axis(np.array([start, end])).ticks] == [
        str(year) for year in range(2013, 2019)
    ]
    flat = linear_axis(np.array([2.0, 2.0]), "number")
    assert flat.lower < 2.0 < flat.upper


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "percent", "–"),
        (float("nan"), "number", "–"),
        (-0.0314, "percent", "−3.1 %"),
        (0.00032, "percent", "0.032 %"),
        (1.234, "percent", "123 %"),
        (-12345.6, "money", "−12,346"),
        (0.5, "ratio", "0.50"),
        (0.0064, "number", "0.0064"),
        (0.02, "number", "0.02"),
        (-0.000321, "bp", "−3.21"),
        (0.0004, "p", "< 0.001"),
        (0.0342, "p", "0.034"),
        (0.342, "p", "0.34"),
        (-0.0123, "percent_cell", "−1.2"),
        (0.1234, "percent_cell", "12"),
        (-0.0004, "percent_cell", "0"),
        (-0.137, "ratio_cell", "−.14"),
        (1.0, "ratio_cell", "1.0"),
    ],
)
def test_numbers_are_written_short(value: float | None, unit: str, text: str) -> None:
    assert format_number(value, unit) == text  # type: ignore[arg-type]


def test_sections_without_data_are_folded_and_dashes_explained() -> None:
    page, whole = Page(render_report(bare())), Page(render_report(full()))
    empty = [section for section in report_sections(bare()) if not section.blocks]
    assert page.tags.count("details") == len(empty) > 0
    assert whole.tags.count("details") == 0
    dashed = [section.key for section in report_sections(full()) if section.dashed]
    assert {"regimes", "gates"} <= set(dashed)
    assert whole.text.count("– : not defined here, or not measured.") == len(dashed)


def test_values_under_the_pointer_are_those_of_the_curves() -> None:
    """What the script reads back: a coordinate between the ends of the axes that it is given."""
    html = render_report(full())
    assert html.count("<script>") == 1
    assert not re.search(r"<script[^>]*src|fetch\(|XMLHttp|import\(|https?:", html)
    for chart in [each for section in report_sections(full()) for each in section.charts]:
        if not isinstance(chart, LineChart):
            continue
        body = svg.draw(chart)
        ends = {key: float(value) for key, value in re.findall(r'data-(\w\d)="([^"]+)"', body)}
        named = dict(re.findall(r'data-name="([^"]*)" d="([^"]+)"', body))
        assert set(named) == {line.label for line in chart.lines}
        for line in chart.lines:
            last = np.array(
                re.findall(r"(-?[\d.]+) (-?[\d.]+)", named[line.label])[-1], dtype=float
            )
            x = ends["x0"] + last[0] / 1000.0 * (ends["x1"] - ends["x0"])
            share = 1.0 - last[1] / 300.0
            low, high = (np.log(ends[k]) if chart.log_y else ends[k] for k in ("y0", "y1"))
            y = low + share * (high - low)
            wanted = np.log(line.y[-1]) if chart.log_y else line.y[-1]
            assert ('data-log="1"' in body) == chart.log_y
            assert x == pytest.approx(chart.x[-1], abs=1e-4 * (ends["x1"] - ends["x0"]))
            assert y == pytest.approx(wanted, abs=(high - low) / 3000.0)


def test_figures_name_policy_and_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside every title, without the folder that the prices lay in."""
    owners = []
    monkeypatch.setattr(
        report_page, "write_pngs", lambda charts, folder, owner: owners.append(owner)
    )
    found = replace(full(), name="first_try", market=("prices/own.csv",))
    write_report(found, tmp_path / "report.html", png_directory=tmp_path)
    assert owners == [f"first try on own.csv, {found.start[:10]} to {found.end[:10]}"]


def oklab(colour: str) -> NDArray[np.float64]:
    """Ottosson (2020): distances are those that an eye sees."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    cone = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    mixed = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(mixed @ np.cbrt(cone @ linear))


def test_curves_of_one_figure_can_be_told_apart() -> None:
    """In light and dark; orange and brown had a distance of 0.06 and 0.10."""
    style = files("offline_trader.evaluation.report").joinpath("style.css").read_text("utf-8")
    light, dark = re.findall(r":root\{(.*?)\}", style, flags=re.DOTALL)
    curves = ["policy", "benchmark", "expert", *(f"extra{n}" for n in ("", 2, 3, 4, 5))]
    for theme in (light, dark):
        colours = dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", theme))
        for one, other in itertools.combinations(curves, 2):
            assert np.linalg.norm(oklab(colours[one]) - oklab(colours[other])) > 0.11, (one, other)
        if theme is light:
            assert {role: colours[role] for role in curves} == {
                role: colour for role, colour in COLOURS.items() if role in curves
            }
