"""``offline-trader audit``: perturb the future and see which outputs of a function moved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Closes, Json, Quiet, examples, market_sources
from offline_trader.errors import GateFailed
from offline_trader.experts.own import find_function, own_expert

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.evaluation.audit import Leak
    from offline_trader.experts import Behaviour, Expert

__all__ = ["EXAMPLES", "command"]

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
            "with a row for each bar out; or an expert of yours), 'features' for our own, or "
            "expert:NAME."
        ),
    ],
    market: Annotated[
        str, typer.Option("--market", help="Built-in market, CSV or Parquet file.")
    ] = "sp500",
    bars: Annotated[int, typer.Option("--bars", min=1, help="Use the first so many bars.")] = 1_000,
    cuts: Annotated[int, typer.Option("--cuts", help="Places in time to cut at.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of cuts and changes.")] = 0,
    closes: Closes = False,
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
    (source,) = market_sources([market], closes) or [market]
    loaded = load_market(source)
    frame = bars_frame(loaded.slice(0, min(bars, len(loaded))))
    function = _subject(subject)
    config = AuditConfig(cuts=cuts, seed=seed)
    result = audit_function(function, frame, config)
    if result.leaks:
        _print(terminal, result.leaks)
    for text in result.skipped[:3]:
        terminal.note(f"not compared: {text}")
    if result.unread:
        few = ", ".join(result.unread[:5]) + (", …" if len(result.unread) > 5 else "")
        terminal.note(
            f"the bars have no influence on {few}: what a function reads elsewhere is not audited"
        )
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


def _print(terminal: Terminal, leaks: Sequence[Leak]) -> None:
    terminal.table(
        "",
        ["output", "first bar that moved", "time", "reads ahead", "after", "was", "became"],
        [
            [
                leak.output,
                leak.bar,
                leak.timestamp[:19],
                _reach(leak.reach_bars),
                f"{leak.perturbation} from bar {leak.cut + 1}",
                leak.before,
                leak.after,
            ]
            for leak in leaks
        ],
    )


def _reach(bars: int | None) -> str:
    if bars is None:
        return "the whole sample"
    return f"{bars} bar{'s' if bars > 1 else ''}"


def _subject(subject: str) -> Callable[[pd.DataFrame], Any]:
    if subject == "features":
        return _own_features
    if subject.startswith("expert:"):
        from offline_trader.experts import parse_behaviour

        return _walk(parse_behaviour(subject.removeprefix("expert:"))[0])
    return _own(subject)


def _own(path: str) -> Callable[[pd.DataFrame], Any]:
    """A function of a frame as it is; an expert of the user's as its walk through the frame."""
    from offline_trader.experts import Behaviour, Expert

    found = find_function(path)
    if isinstance(found, Expert | Behaviour):
        return _walk(found)
    return _walk(own_expert(path)) if _takes_columns(found) else found


def _takes_columns(function: Callable[..., Any]) -> bool:
    """Whether it needs two arguments, as a rule's function (features, portfolio) does."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [
        one
        for one in parameters
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return len(needed) == 2


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


def _walk(expert: Expert | Behaviour) -> Callable[[pd.DataFrame], Any]:
    """The expert's actions and the equity they led to, on a walk through the frame."""
    from offline_trader.experts import ExpertPolicy

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
