"""Evaluates a policy or an expert over a range of bars: the one entry for every judgement.

Deterministic actions, the simulator of the training, one pass over the whole range per
instrument; buy-and-hold and the source experts run on the same bars with the same costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.actions import action_map, collapse_of
from offline_trader.evaluation.backtest import Backtest, Subject, backtest, replayed
from offline_trader.evaluation.judgement import Rival, TrialRecord, judge
from offline_trader.evaluation.ledger import TrialLedger
from offline_trader.evaluation.measures import performance
from offline_trader.evaluation.portfolio import Account, combine, trade_rows
from offline_trader.evaluation.record import (
    Evaluation,
    InstrumentRow,
    RegimeRow,
    Robustness,
    ScoreRow,
)
from offline_trader.evaluation.regimes import regime_labels, regime_rows
from offline_trader.evaluation.robustness import (
    DEFAULT_COSTS_BPS,
    Runner,
    cost_sweep,
    delayed,
    noisy,
    summary,
)
from offline_trader.experts import Expert, get_expert
from offline_trader.export import OnnxPolicy, sha256_of
from offline_trader.features import compute_features
from offline_trader.markets import BarRange, Bars, load_markets
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import FloatArray, ObservationLayout, digest

__all__ = ["EvaluateOptions", "evaluate"]


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate besides the run itself.

    Attributes:
        name: for the report; empty: the file's or the expert's.
        experts: source experts to compare with.
        costs_bps: costs a side of the sweep; empty: no sweep.
        delay_bars: bars of delay of the robustness run; 0: none.
        noise_bps: standard deviation of the price noise a bar.
        noise_draws: runs on noisy prices; 0: none.
        oracle: measure the share of what perfect foresight would have earned.
        seed: of bootstrap, permutations and noise; also the trial's seed.
        replicates: bootstrap samples.
    """

    name: str = ""
    experts: tuple[str, ...] = ()
    costs_bps: tuple[float, ...] = DEFAULT_COSTS_BPS
    delay_bars: int = 1
    noise_bps: float = 10.0
    noise_draws: int = 5
    oracle: bool = True
    seed: int = 0
    replicates: int = 1000

    def __post_init__(self) -> None:
        if any(not 0 <= cost < 5_000 for cost in self.costs_bps):
            raise ConfigError(f"costs_bps {self.costs_bps}", expected="from 0 to below 5000")
        for name in ("delay_bars", "noise_draws", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)}", expected="0 or more")
        if not 0 <= self.noise_bps < 5_000:
            raise ConfigError(f"noise_bps = {self.noise_bps}", expected="from 0 to below 5000")


@dataclass(frozen=True, eq=False)
class _Instrument:
    """One instrument: all its bars (features need the past), and the range to judge."""

    bars: Bars
    range: BarRange

    @property
    def market(self) -> MarketTensor:
        return MarketTensor.from_bars([self.bars], [compute_features(self.bars)], [self.range])


def evaluate(
    subject: Subject,
    env: EnvConfig,
    options: EvaluateOptions | None = None,
    *,
    ledger: TrialLedger | None = None,
    trial: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Everything that is to be known of ``subject`` over ``env``'s bars.

    Args:
        subject: an :class:`~offline_trader.export.OnnxPolicy`, an expert, or any function from
            raw observations [N, F + P] to actions [N, 1].
        env: markets, dates and trading rules; ``episode_bars`` and ``random_start`` do not count.
        options: comparisons and robustness runs.
        ledger: counts this evaluation as a trial of the project.
        trial: what was chosen to get here (training configuration, seeds), for the ledger; by
            default the subject's own fingerprint.

    Raises:
        DataError: no bars in the range, or too few before it for the features.
        SchemaMismatch: the model was made for another observation layout.
    """
    options = options or EvaluateOptions()
    instruments = _instruments(env)
    markets = [each.market for each in instruments]
    _check_layout(subject, markets[0].layout)
    rules = env.simulator
    periods = max(float(market.periods_per_year[0]) for market in markets)

    def run(who: Subject, config: SimulatorConfig, delay_bars: int) -> Account:
        legs = [backtest(who, market, config, delay_bars=delay_bars) for market in markets]
        return combine(legs, periods)

    def held_growth(config: SimulatorConfig) -> float | None:
        again = [replayed(leg, m, config) for leg, m in zip(held, markets, strict=True)]
        return performance(combine(again, periods).curve.returns, periods)["cagr"]

    legs = [backtest(subject, market, rules) for market in markets]
    account = combine(legs, periods)
    held = [backtest(get_expert("buy_and_hold"), market, rules) for market in markets]
    rivals = [Rival("buy_and_hold", "benchmark", combine(held, periods).curve.equity)]
    name, kind, fingerprint = _identity(subject, options.name)
    rivals += [
        Rival(expert, "expert", run(get_expert(expert), rules, 0).curve.equity)
        for expert in dict.fromkeys(options.experts)
        if expert not in ("buy_and_hold", name)
    ]
    data_hash = _data_hash(instruments)
    record = None
    if ledger is not None:
        config = {"subject": fingerprint, "simulator": asdict(rules), **(trial or {})}
        record = TrialRecord(ledger, config, options.seed, data_hash, name)
    judged = judge(
        account.curve.returns,
        periods,
        rivals,
        trial=record,
        seed=options.seed,
        replicates=options.replicates,
    )
    collapse = collapse_of(legs, rules, options.seed)
    intervals = dict(judged.intervals)
    if account.win_rate_interval is not None:
        intervals["win_rate"] = account.win_rate_interval
    return Evaluation(
        name=name,
        kind=kind,
        fingerprint=fingerprint,
        data_hash=data_hash,
        start=account.curve.timestamps[0],
        end=account.curve.timestamps[-1],
        n_bars=len(account.curve.returns),
        periods_per_year=periods,
        trials=judged.trials,
        simulator=asdict(rules),
        curve=account.curve,
        measures={**judged.measures, **account.trade_measures},
        intervals=intervals,
        statistics=judged.statistics,
        collapse=collapse.to_dict(),
        verdicts=collapse.verdicts,
        comparators=judged.comparators,
        spa_p_value=judged.spa_p_value,
        instruments=tuple(
            InstrumentRow(
                leg.symbol, each.bars.sha256, performance(_returns(leg), each.bars.periods_per_year)
            )
            for leg, each in zip(legs, instruments, strict=True)
        ),
        trades=trade_rows(legs),
        regimes=_regimes(account, rivals[0].equity, instruments, periods),
        robustness=_robustness(run, subject, held_growth, instruments, rules, periods, options),
        action_map=action_map(legs, markets[0].layout),
        oracle=_oracle(run, rules, account) if options.oracle else (),
        notes=(*judged.notes, *_remarks(legs, instruments)),
    )


def _instruments(env: EnvConfig) -> list[_Instrument]:
    found = []
    for bars in load_markets(list(env.market), tz=env.tz):
        start, stop = bars.rows_between(env.start, env.end)
        start = max(start, compute_features(bars).warmup)
        if stop - start < 2:
            raise DataError(
                f"{bars.source or bars.symbol}: {max(stop - start, 0)} bars from "
                f"{env.start or 'the start'} to {env.end or 'the end'} after the warm-up",
                expected="2 or more",
            )
        found.append(_Instrument(bars, BarRange(start, stop)))
    return found


def _check_layout(subject: Subject, layout: ObservationLayout) -> None:
    if isinstance(subject, OnnxPolicy):
        subject.require_layout(layout, owner="this version's features")


def _identity(subject: Subject, name: str) -> tuple[str, str, str]:
    """Name, kind and fingerprint."""
    if isinstance(subject, OnnxPolicy):
        return name or subject.path.name, "policy", sha256_of(subject.path)
    if isinstance(subject, Expert):
        return name or subject.name, "expert", digest(subject.to_dict())
    return name or type(subject).__name__, "policy", ""


def _data_hash(instruments: Sequence[_Instrument]) -> str:
    return digest(
        [
            [each.bars.symbol, each.bars.slice(each.range.start, each.range.stop).sha256]
            for each in instruments
        ]
    )


def _returns(leg: Backtest) -> np.ndarray:
    return np.asarray(leg.equity[1:] / leg.equity[:-1] - 1.0)


def _regimes(
    account: Account, held: FloatArray, instruments: Sequence[_Instrument], periods: float
) -> tuple[RegimeRow, ...]:
    """By the instrument's closes, past included; of several instruments by buy-and-hold's equity,
    whose first year is its own warm-up."""
    market = held[1:] / held[:-1] - 1.0
    if len(instruments) == 1:
        one = instruments[0]
        labels = regime_labels(one.bars.close, one.range.start, one.range.stop)
    else:
        labels = regime_labels(held, 0, len(held))
    return regime_rows(account.curve.returns, labels, periods, market)


def _robustness(
    run: Runner,
    subject: Subject,
    held_growth: Callable[[SimulatorConfig], float | None],
    instruments: Sequence[_Instrument],
    rules: SimulatorConfig,
    periods: float,
    options: EvaluateOptions,
) -> Robustness | None:
    if not (options.costs_bps or options.delay_bars or options.noise_draws):
        return None
    costs = cost_sweep(run, subject, held_growth, rules, periods, options.costs_bps)
    delay = None
    if options.delay_bars:
        delay = delayed(run, subject, rules, periods, options.delay_bars)
    noise = []
    for draw in range(options.noise_draws):
        rng = np.random.default_rng([options.seed, draw])
        legs = [
            backtest(
                subject,
                _Instrument(noisy(each.bars, options.noise_bps, rng), each.range).market,
                rules,
            )
            for each in instruments
        ]
        returns = combine(legs, periods).curve.returns
        noise.append(performance(returns, periods)["sharpe"])
    return summary(costs, delay, options.noise_bps, noise)


def _oracle(run: Runner, rules: SimulatorConfig, account: Account) -> tuple[ScoreRow, ...]:
    """Log growth as a share of that of the perfect-foresight path."""
    best = run(get_expert("oracle"), rules, 0).curve.equity
    growth = float(np.log(best[-1] / best[0]))
    own = float(np.log(account.curve.equity[-1] / account.curve.equity[0]))
    note = f"perfect foresight multiplied the capital by {best[-1] / best[0]:,.4g}"
    return (ScoreRow("log growth", own / growth if growth > 0 else None, None, note),)


def _remarks(legs: Sequence[Backtest], instruments: Sequence[_Instrument]) -> list[str]:
    notes = [f"{leg.symbol}: the account was ruined." for leg in legs if leg.ruined]
    if len(legs) > 1:
        notes.append("Equal shares of the capital for every instrument, not rebalanced.")
    gaps = sum(each.bars.slice(each.range.start, each.range.stop).gaps for each in instruments)
    if gaps:
        notes.append(f"The bars have {gaps} gaps; they were kept.")
    return notes
