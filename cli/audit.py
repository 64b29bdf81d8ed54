"""``offline-trader audit``: perturb the future and see which outputs of a function moved."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Json, Quiet, examples
from offline_trader.errors import ConfigError, GateFailed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXAMPLES", "command", "find_function"]

EXAMPLES = examples(
    "offline-trader audit features",
    "offline-trader audit my_features.py:momentum --market prices.csv",
    "offline-trader audit my_package.rules:decide --market nasdaq --json",
    "offline-trader audit expert:ma_cross",
)


def command(
    subject: Annotated[
        str,
        typer.Argument(
            help="module:function or file.py:function (a frame of bars in, an array or frame "
            "with a row for each bar out), 'features' for our own, or expert:NAME."
        ),
    ],
    market: Annotated[
        str, typer.Option("--market", help="Built-in market, CSV or Parquet file.")
    ] = "sp500",
    bars: Annotated[int, typer.Option("--bars", help="Use the first so many bars.")] = 1_000,
    cuts: Annotated[int, typer.Option("--cuts", help="Places in time to cut at.")] = 6,
    seed: Annotated[int, typer.Option("--seed", help="Seed of cuts and changes.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look for leaks: change the bars after a cut and report outputs up to it that moved.

    The function gets a pandas frame (open, high, low, close, volume; index of times) and
    returns an array, Series or DataFrame. Exit code 4 when anything leaks.
    """
    from offline_trader.evaluation.audit import AuditConfig, audit_function, bars_frame
    from offline_trader.markets import load_market

    terminal = Terminal(as_json=as_json, quiet=quiet)
    loaded = load_market(market)
    frame = bars_frame(loaded.slice(0, min(bars, len(loaded))))
    function = _subject(subject)
    config = AuditConfig(cuts=cuts, seed=seed)
    result = audit_function(function, frame, config)
    terminal.table(
        "",
        ["output", "first bar that moved", "time", "reads ahead", "after", "was", "became"],
        [
            [
                leak.output,
                leak.bar,
                leak.timestamp[:19],
                "the whole sample" if leak.reach_bars is None else f"{leak.reach_bars} bars",
                f"{leak.perturbation} from bar {leak.cut + 1}",
                leak.before,
                leak.after,
            ]
            for leak in result.leaks
        ],
    )
    for text in result.skipped[:3]:
        terminal.note(f"not compared: {text}")
    terminal.line(
        f"{subject}: {len(result.leaks)} of {len(result.outputs)} outputs read the future "
        f"({result.comparisons} comparisons on {len(frame):,} bars of {market})"
    )
    terminal.result({"subject": subject, "market": market, **result.to_dict()})
    if not result.clean:
        names = ", ".join(leak.output for leak in result.leaks[:5])
        raise GateFailed(
            f"{subject} reads the future: {names}",
            expected="rows up to bar t that stay the same when later bars change",
        )


def _subject(subject: str) -> Callable[[pd.DataFrame], Any]:
    if subject == "features":
        return _own_features
    if subject.startswith("expert:"):
        return _expert(subject.removeprefix("expert:"))
    return find_function(subject)


def find_function(path: str) -> Callable[..., Any]:
    """The function that ``module:function`` or ``file.py:function`` names.

    Raises:
        ConfigError: no such module, file or function.
    """
    place, colon, name = path.rpartition(":")
    if not colon or not place or not name:
        raise ConfigError(f"{path!r} names no function", expected="module:function")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            if spec is None or spec.loader is None or not Path(place).exists():
                raise ConfigError(f"{place}: no such file", expected="a Python file")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            if "" not in sys.path:
                sys.path.insert(0, "")
            module = importlib.import_module(place)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        public = [n for n in vars(module) if not n.startswith("_") and callable(getattr(module, n))]
        raise ConfigError(
            f"{place} has no function {name!r}", expected=", ".join(public) or "a function"
        )
    return function  # type: ignore[no-any-return]


def _frame_bars(frame: pd.DataFrame) -> Any:
    """Bars of the rows that hold any; those lost to a gap are not there, as in a file."""
    import pandas as pd

    from offline_trader.markets import Bars

    kept = frame.dropna()
    columns: dict[str, Any] = {name: kept[name].to_numpy() for name in frame.columns}
    stamps = pd.DatetimeIndex(kept.index).tz_localize(None).to_numpy()
    return Bars("audit", stamps, periods_per_year=252.0, **columns)


def _own_features(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from offline_trader.features import compute_features

    bars = _frame_bars(frame)
    features = compute_features(bars)
    index = pd.DatetimeIndex(bars.timestamps, tz="UTC")
    return pd.DataFrame(features.values, index=index, columns=list(features.schema.names))


def _expert(name: str) -> Callable[[pd.DataFrame], Any]:
    """The expert's actions and the equity they led to, on a walk through the frame."""
    from offline_trader.experts import ExpertPolicy, get_expert

    expert = get_expert(name)

    def walk(frame: pd.DataFrame) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        from offline_trader.features import compute_features
        from offline_trader.markets import BarRange
        from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig

        bars = _frame_bars(frame)
        features = compute_features(bars)
        part = BarRange(features.warmup, len(bars))
        market = MarketTensor.from_bars([bars], [features], [part])
        rules = SimulatorConfig()
        policy = ExpertPolicy(expert, market.layout, rules, market=market)
        simulator = Simulator(market, rules, auto_reset=False)
        seen = simulator.reset().copy()
        actions, equity = np.empty(len(market)), np.empty(len(market))
        for t in range(len(market)):
            equity[t] = simulator.equity[0]
            actions[t] = policy.decide(seen, simulator.bar_index)[0]
            if t + 1 < len(market):
                seen = simulator.step(actions[t : t + 1]).observations.copy()
        index = pd.DatetimeIndex(market.timestamps, tz="UTC")
        return pd.DataFrame({"action": actions, "equity": equity}, index=index)

    return walk
