"""What can be audited: our features, experts on a walk through the bars, functions of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from offline_trader.errors import OfflineTraderError
from offline_trader.experts.own import own_expert
from offline_trader.markets import WINDOW, windowed
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.types import IntArray, LanePolicy, Observations, Policy
from offline_trader.user_code import find_function

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.experts import Behaviour, Expert
    from offline_trader.features import Leak
    from offline_trader.markets import Bars

__all__ = ["audited", "rare_leaks", "walked", "walked_policy"]

Decider: TypeAlias = Callable[[Observations, IntArray], Any]


def audited(subject: str) -> Callable[[pd.DataFrame], Any]:
    """The function of a frame of bars that ``subject`` names.

    Args:
        subject: ``features`` for our own or another feature set's name, ``window:BARS:SET``,
            ``expert:NAME``, or ``module:function`` of the user's.

    Raises:
        ConfigError: no such expert or function.
    """
    from offline_trader.features import FEATURE_SETS, name_features

    if windowed(subject)[0]:
        return _feature_set(name_features(subject))
    if subject == "features" or subject in FEATURE_SETS:
        return _feature_set("builtin" if subject == "features" else subject)
    if subject.startswith("expert:"):
        from offline_trader.experts import parse_behaviour

        return walked(parse_behaviour(subject.removeprefix("expert:"))[0])
    return _own(subject)


def rare_leaks(subject: str, bars: Bars) -> tuple[Leak, ...]:
    """What the looks that features pass before they are used show of a function of one's own, if
    it gives a row for each bar; nothing of other subjects.

    Raises:
        ConfigError: it gives two answers for the same bars.
    """
    kinds = ("expert:", "policy:", WINDOW)
    own = subject == "features" or subject.startswith(kinds) or ":" not in subject
    if own or not callable(found := find_function(subject)) or _takes_columns(found):
        return ()
    from offline_trader.experts import Behaviour, Expert
    from offline_trader.features import Leak, examine_features

    if isinstance(found, Expert | Behaviour):
        return ()
    try:
        shown = examine_features(subject, bars).leaks
    except OfflineTraderError:
        return ()  # no features, such as rows with times of their own
    nothing = float("nan")
    return tuple(
        Leak(
            output=leak.feature,
            bar=leak.bar,
            timestamp=leak.timestamp,
            cut=leak.bar,
            reach_bars=None,
            perturbation=leak.change,
            rows_moved=1,
            before=nothing if leak.before is None else leak.before,
            after=nothing if leak.after is None else leak.after,
        )
        for leak in shown
    )


def _own(path: str) -> Callable[[pd.DataFrame], Any]:
    """A function of a frame as it is; an expert of the user's as its walk through the frame."""
    from offline_trader.experts import Behaviour, Expert

    found = find_function(path)
    if isinstance(found, Expert | Behaviour):
        return walked(found)
    return walked(own_expert(path)) if _takes_columns(found) else found


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

    from offline_trader.markets import BAR_COLUMNS, Bars

    own = list(BAR_COLUMNS)
    kept = frame.dropna(subset=own)
    columns: dict[str, Any] = {name: kept[name].to_numpy() for name in own}
    signals = {name: kept[name].to_numpy() for name in frame.columns if name not in own}
    stamps = pd.DatetimeIndex(kept.index).tz_localize(None).to_numpy()
    return Bars("audit", stamps, periods_per_year=252.0, signals=signals, **columns)


def _feature_set(name: str) -> Callable[[pd.DataFrame], Any]:
    """All features of a set."""

    def compute(frame: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        from offline_trader.features import compute_features

        bars = _frame_bars(frame)
        features = compute_features(bars, name)
        index = pd.DatetimeIndex(bars.timestamps, tz="UTC")
        return pd.DataFrame(features.values, index=index, columns=list(features.schema.names))

    return compute


def walked(expert: Expert | Behaviour) -> Callable[[pd.DataFrame], Any]:
    """The expert's actions and the equity they led to, on a walk through the frame."""
    from offline_trader.experts import ExpertPolicy

    def decider(market: MarketTensor, rules: SimulatorConfig) -> Decider:
        return ExpertPolicy(expert, market.layout, rules, market=market).decide

    return _walked(decider, SimulatorConfig())


def walked_policy(policy: Policy, rules: SimulatorConfig) -> Callable[[pd.DataFrame], Any]:
    """The policy's actions and the equity they led to under ``rules``, on a walk through a frame.

    What a policy is given reads the past only; one that looks elsewhere, or at what it was given
    before, may read more.
    """

    def decider(market: MarketTensor, _: SimulatorConfig) -> Decider:
        if isinstance(policy, LanePolicy):
            policy.restart(np.ones(1, np.bool_))
        return lambda seen, _: policy(seen)[:, 0]

    return _walked(decider, rules)


def _walked(
    decider: Callable[[MarketTensor, SimulatorConfig], Decider], rules: SimulatorConfig
) -> Callable[[pd.DataFrame], Any]:
    def walk(frame: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        from offline_trader.features import compute_features
        from offline_trader.markets import BarRange

        bars = _frame_bars(frame)
        features = compute_features(bars)
        part = BarRange(features.warmup, len(bars))
        market = MarketTensor.from_bars([bars], [features], [part])
        decide = decider(market, rules)
        simulator = Simulator(market, rules, auto_reset=False)
        seen = simulator.reset().copy()
        actions, equity = np.empty(len(market)), np.empty(len(market))
        for t in range(len(market)):
            equity[t] = simulator.equity[0]
            actions[t] = decide(seen, simulator.bar_index)[0]
            if t + 1 < len(market):
                seen = simulator.step(actions[t : t + 1]).observations.copy()
        index = pd.DatetimeIndex(market.timestamps, tz="UTC")
        return pd.DataFrame({"action": actions, "equity": equity}, index=index)

    return walk
