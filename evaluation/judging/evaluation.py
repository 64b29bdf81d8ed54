"""Evaluates a policy or an expert over a range of bars: the one entry for every judgement.

Deterministic actions, the simulator of the training, one pass over the whole range per
instrument; buy-and-hold and the source experts run on the same bars with the same costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.envs import EnvConfig
from offline_trader.evaluation.backtest import (
    Account,
    Backtest,
    EvaluationRange,
    Scenario,
    Strategy,
    combine,
    lot_rows,
    robustness,
    trade_rows,
)
from offline_trader.evaluation.judging.judgement import ComparatorCurve, TrialRecord, judge
from offline_trader.evaluation.judging.ledger import TrialLedger
from offline_trader.evaluation.judging.options import EvaluateOptions
from offline_trader.evaluation.judging.record import (
    Evaluation,
    InstrumentRow,
    RegimeRow,
    ScoreRow,
)
from offline_trader.evaluation.measures import (
    action_map,
    collapse_of,
    network_measures,
    performance,
    regime_labels,
    regime_rows,
)
from offline_trader.experts import Expert, get_expert, parse_behaviour
from offline_trader.export import OnnxPolicy
from offline_trader.policies import ForeignPolicy
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray, ObservationLayout, digest

__all__ = ["evaluate"]


def evaluate(
    strategy: Strategy,
    env: EnvConfig,
    options: EvaluateOptions | None = None,
    *,
    ledger: TrialLedger | None = None,
    trial: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Everything that is to be known of ``strategy`` over ``env``'s bars.

    Args:
        strategy: an :class:`~offline_trader.export.OnnxPolicy`, an expert, a policy from elsewhere
            (:func:`offline_trader.policies.adapt`), or any function from raw observations
            [N, F + P] to actions [N, 1].
        env: markets, dates and trading rules; ``episode_bars`` and ``random_start`` do not count.
        options: comparisons and robustness runs.
        ledger: counts this evaluation as a trial of the project.
        trial: what was chosen to get here, for the ledger: ``policy`` (a hash of what was trained,
            the same for a run and for the model exported from it), ``seed`` of the training (by
            default ``options.seed``), settings. Without ``policy`` the strategy's own fingerprint.

    Raises:
        DataError: no bars in the range, or too few before it for the features.
        SchemaMismatch: the model was made for another observation layout.
    """
    options = options or EvaluateOptions()
    span = EvaluationRange.from_env(env)
    layout = span.markets[0].layout
    if isinstance(strategy, OnnxPolicy):
        strategy.require_layout(layout, owner="this version's features")
    if isinstance(strategy, ForeignPolicy):
        strategy.require_layout(layout)
    rules, periods = env.simulator, span.periods_per_year
    name, kind, fingerprint = _identity(strategy, options.name, layout)
    (backtests,) = span.backtests(strategy, [Scenario(rules)])
    (held,) = span.backtests(get_expert("buy_and_hold"), [Scenario(rules)], observe=False)
    account, holding = combine(backtests, periods), combine(held, periods)
    record = None
    if ledger is not None:
        config = {"policy": fingerprint, "simulator": asdict(rules), **(trial or {})}
        seed = int(config.pop("seed", options.seed))
        markets, scope = tuple(each.bars.symbol for each in span.instruments), options.trial_scope
        record = TrialRecord(ledger, config, seed, span.data_hash, name, markets, scope)
    comparators = [ComparatorCurve("buy_and_hold", "benchmark", holding.equity)]
    judged = judge(
        account.returns,
        periods,
        comparators + _experts(span, rules, options.experts, name),
        trial=record,
        seed=options.seed,
        replicates=options.replicates,
    )
    collapse = collapse_of(backtests, options.seed, learned=kind == "policy")
    return Evaluation(
        name=name,
        kind=kind,
        fingerprint=fingerprint,
        data_hash=span.data_hash,
        start=account.curve.timestamps[0],
        end=account.curve.timestamps[-1],
        n_bars=len(account.returns),
        periods_per_year=periods,
        trials=judged.trials,
        trials_counted=judged.trials_counted,
        simulator=asdict(rules),
        curve=account.curve,
        measures={**judged.measures, **account.trade_measures},
        intervals=judged.intervals | account.trade_intervals,
        statistics=judged.statistics,
        collapse=collapse.to_dict() | network_measures(strategy, backtests).to_dict(),
        verdicts=collapse.verdicts,
        comparators=judged.comparators,
        spa_p_value=judged.spa_p_value,
        instruments=_instrument_rows(span, backtests),
        trades=trade_rows(backtests),
        lots=lot_rows(backtests),
        regimes=_regimes(account, holding.equity, span),
        robustness=robustness(strategy, span, rules, options.trials, held),
        action_map=action_map(backtests, layout),
        oracle=_oracle(span, rules, account) if options.oracle else (),
        notes=(*judged.notes, *_remarks(span, backtests)),
        market=tuple(Path(source).name for source in env.market),
    )


def _experts(
    span: EvaluationRange, rules: SimulatorConfig, names: Sequence[str], own: str
) -> list[ComparatorCurve]:
    return [
        ComparatorCurve(name, "expert", span.accounts(_rule(name), [Scenario(rules)])[0].equity)
        for name in dict.fromkeys(names)
        if name not in ("buy_and_hold", own)
    ]


def _rule(text: str) -> Expert:
    """The expert of ``name?key=value``, without noise."""
    return parse_behaviour(text)[0].expert


def _identity(strategy: Strategy, name: str, layout: ObservationLayout) -> tuple[str, str, str]:
    """Name, kind and fingerprint."""
    if isinstance(strategy, ForeignPolicy):
        return name or strategy.name, "policy", strategy.fingerprint(layout.size)
    if isinstance(strategy, OnnxPolicy):
        return name or strategy.path.name, "policy", strategy.file.sha256
    if isinstance(strategy, Expert):
        return name or strategy.name, "expert", digest(strategy.to_dict())
    return name or type(strategy).__name__, "policy", ""


def _instrument_rows(
    span: EvaluationRange, backtests: Sequence[Backtest]
) -> tuple[InstrumentRow, ...]:
    rows = []
    for backtest, each in zip(backtests, span.instruments, strict=True):
        returns = backtest.equity[1:] / backtest.equity[:-1] - 1.0
        measures = performance(returns, each.bars.periods_per_year)
        rows.append(InstrumentRow(backtest.symbol, each.bars.sha256, measures))
    return tuple(rows)


def _regimes(account: Account, held: FloatArray, span: EvaluationRange) -> tuple[RegimeRow, ...]:
    """By the instrument's closes, past included; of several instruments by buy-and-hold's equity,
    whose first year is its own warm-up."""
    market = held[1:] / held[:-1] - 1.0
    if len(span.instruments) == 1:
        one = span.instruments[0]
        labels = regime_labels(one.bars.close, one.range.start, one.range.stop)
    else:
        labels = regime_labels(held, 0, len(held))
    return regime_rows(account.returns, labels, span.periods_per_year, market)


def _oracle(
    span: EvaluationRange, rules: SimulatorConfig, account: Account
) -> tuple[ScoreRow, ...]:
    """Log growth as a share of that of the perfect-foresight path."""
    best = span.accounts(get_expert("oracle"), [Scenario(rules)])[0].equity
    growth = float(np.log(best[-1] / best[0]))
    own = float(np.log(account.equity[-1] / account.equity[0]))
    note = f"perfect foresight multiplied the capital by {best[-1] / best[0]:,.4g}"
    return (ScoreRow("log growth", own / growth if growth > 0 else None, None, note),)


def _remarks(span: EvaluationRange, backtests: Sequence[Backtest]) -> list[str]:
    notes = [f"{each.symbol}: the account was ruined." for each in backtests if each.ruined]
    if len(backtests) > 1:
        notes.append("Equal shares of the capital for every instrument, not rebalanced.")
    gaps = sum(each.judged.gaps for each in span.instruments)
    if gaps:
        found = "1 gap; it was" if gaps == 1 else f"{gaps} gaps; they were"
        notes.append(f"The bars have {found} kept.")
    notes += [
        f"{each.bars.symbol}: {note}" for each in span.instruments for note in each.bars.notes
    ]
    return notes
