"""Synthetic bars as a file, with their stylised facts and pictures beside a real market's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.evaluation.report.charts import Line, LineChart, Role
from offline_trader.evaluation.report.png import write_pngs
from offline_trader.markets import Bars, load_market
from offline_trader.markets.stylised import autocorrelation, stylised_facts
from offline_trader.markets.synthetic import Law, fit_turbulent, synthetic_law
from offline_trader.runs import atomic_write
from offline_trader.types import FloatArray

__all__ = ["Synthesis", "synthesise"]

_LAGS = 60


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What was made.

    Attributes:
        law: name and every parameter: as ``synthetic:NAME?…`` they give the same bars again.
        bars: the bars.
        facts: by market, :class:`~offline_trader.markets.stylised.StylisedFacts` as a dict;
            the synthetic one first.
        files: what was written.
    """

    law: Mapping[str, Any]
    bars: Bars
    facts: Mapping[str, Mapping[str, float]]
    files: tuple[Path, ...]


def synthesise(
    name: str,
    parameters: Mapping[str, str],
    *,
    like: str | None = None,
    beside: str | None = None,
    output: Path | None = None,
    plots: Path | None = None,
    overwrite: bool = False,
) -> Synthesis:
    """Make a synthetic market, compare it, and write it.

    Args:
        name, parameters: the law, as in a source string.
        like: a market to which ``turbulent`` is fitted first; parameters go over the fitted ones.
        beside: a real market to compare with; by default ``like``.
        output: CSV file of the bars.
        plots: folder for three pictures: prices, returns, autocorrelation of |r|.
        overwrite: replace ``output``.

    Raises:
        ConfigError: an unknown law or parameter, or ``output`` exists.
        DataError: a market that cannot be read or fitted, or is too short to compare; nothing is
            written then.
    """
    if output is not None and output.exists() and not overwrite:
        raise ConfigError(
            f"{output} exists", expected="a new file", hint="add --overwrite to replace it"
        )
    texts = dict(parameters)
    model = None if like is None else load_market(like)
    if model is not None:
        if name != "turbulent":
            raise ConfigError(
                f"--like with the law {name!r}", expected="turbulent, the law that can be fitted"
            )
        texts = {**_texts(fit_turbulent(model)), **texts}
    law = synthetic_law(name, texts)
    bars = law.make(name)
    markets = {name: bars}
    real = model if beside is None else load_market(beside)
    if real is not None:
        markets[real.symbol if real.symbol != name else f"{name} (real)"] = real
    facts = {each: asdict(stylised_facts(found)) for each, found in markets.items()}
    files: list[Path] = []
    if output is not None:
        frame = bars.to_frame()
        frame.index.name = "timestamp"
        atomic_write(output, frame.to_csv(float_format="%.10g").encode("utf-8"))
        files.append(output)
    if plots is not None:
        files += write_pngs(_charts(markets), plots, _owner(name, law.seed, markets))
    return Synthesis({"law": name, **asdict(law)}, bars, facts, tuple(files))


def _owner(name: str, seed: int, markets: Mapping[str, Bars]) -> str:
    beside = [each for each in markets if each != name]
    return f"synthetic:{name}, seed {seed}" + (f", beside {beside[0]}" if beside else "")


def _texts(law: Law) -> dict[str, str]:
    return {key: repr(value).strip("'") for key, value in asdict(law).items()}


def _charts(markets: Mapping[str, Bars]) -> list[LineChart]:
    length = min(len(bars) for bars in markets.values())
    bar = np.arange(length, dtype=np.float64)
    roles: dict[str, Role] = dict(zip(markets, ("policy", "expert"), strict=False))
    prices, returns, memory = [], [], []
    for name, bars in markets.items():
        close = bars.close[-length:]
        r = np.diff(np.log(close), prepend=np.nan)
        role = roles[name]
        prices.append(Line(name, close / close[0], role))
        returns.append(Line(name, r, role))
        acf = autocorrelation(np.abs(r[1:]), min(_LAGS, length - 2))[1:]
        memory.append(Line(name, acf, role))
    lags = np.arange(1.0, len(memory[0].y) + 1.0)
    charts = [
        _over_bars("prices", "Growth of 1", bar, tuple(prices), "close ÷ first close"),
        *(
            _over_bars(f"returns_{i}", f"Log returns of {line.label}", bar, (line,), "log return")
            for i, line in enumerate(returns)
        ),
    ]
    clustering = LineChart(
        "clustering",
        "Autocorrelation of |r|",
        lags,
        tuple(memory),
        dates=False,
        unit="ratio",
        rule=0.0,
        x_label="lag, bars",
        y_label="autocorrelation",
    )
    return [replace(charts[0], log_y=True, unit="ratio"), *charts[1:], clustering]


def _over_bars(
    name: str, title: str, bar: FloatArray, lines: tuple[Line, ...], y_label: str
) -> LineChart:
    return LineChart(
        name, title, bar, lines, dates=False, unit="percent", x_label="bar", y_label=y_label
    )
