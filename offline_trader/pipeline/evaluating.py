"""Evaluating: a strategy, or the seeds of one configuration, judged, with a report in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.codec import to_json
from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError
from offline_trader.evaluation.judging import LEDGER_FOLDER, EvaluateOptions, TrialLedger, evaluate
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.report_folder import publish
from offline_trader.pipeline.seed_strategies import seed_folders, study_name, validated_seed
from offline_trader.pipeline.strategies import FoundStrategy

if TYPE_CHECKING:
    from offline_trader.evaluation.gates import GateSet
    from offline_trader.evaluation.imported import ImportOptions, Source
    from offline_trader.evaluation.judging import (
        Evaluation,
        GoalSweep,
        OptionUse,
        PreferenceSweep,
        ScoreRow,
        WindowRow,
    )
    from offline_trader.pipeline.run_facts import StageRow

__all__ = [
    "EvaluateConfig",
    "evaluate_strategy",
    "evaluate_seeds",
    "judge_imported",
    "known_results",
    "note_market",
    "note_seen_bars",
    "own_settings",
    "windows_of",
]


@dataclass(frozen=True)
class EvaluateConfig:
    """One evaluation.

    Attributes:
        env: market, dates and trading rules; those of the training unless set.
        options: comparisons, robustness runs, bootstrap, seed.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    options: EvaluateOptions = field(default_factory=EvaluateOptions)


def own_settings(strategies: Sequence[FoundStrategy]) -> tuple[dict[str, Any], str]:
    """The settings that strategies bring along, and the last day that one of them saw.

    Market and rules are those of the training, the range begins after the bars that were seen, and
    they are compared with their source experts. A policy that states no market has none: it has
    to be named. A rule belongs to no market and is judged on the default one.
    """
    import numpy as np

    first = strategies[0]
    seen_until = max(each.seen_until for each in strategies)
    start = str(np.datetime64(seen_until, "D") + 1) if seen_until else None
    market: dict[str, Any] = {} if first.is_rule else {"market": []}
    env = {**market, **first.env, "start": start, "end": None}
    options = {"experts": list(first.experts), "seed": first.seed}
    return {"env": env, "options": options}, seen_until


def note_market(
    progress: Progress, strategy: FoundStrategy, env: EnvConfig, *, named: bool
) -> None:
    """Says where a rule is judged if nobody named a market (``named``)."""
    if strategy.is_rule and not named:
        progress.note(f"note: no --market was given; judged on {', '.join(env.market)}")


def note_seen_bars(progress: Progress, env: EnvConfig, seen_until: str) -> None:
    """Says where the range has bars that training saw.

    Raises:
        ConfigError: a date of the range that cannot be read.
    """
    from offline_trader.tables.dates import parse_date, parse_end

    start, _ = (None if date is None else parse_date(date) for date in (env.start, env.end))
    if seen_until and (start is None or start < parse_end(seen_until)):
        progress.note(
            f"note: the policy's training saw bars until {seen_until}; what it earns before then "
            "proves nothing"
        )


def windows_of(walk: Path, env: EnvConfig) -> tuple[WindowRow, ...]:
    """Windows of the walk-forward in the run ``walk``, which went over a market of ``env``.

    Raises:
        DataError: no walk-forward there.
        ConfigError: it went over other bars.
    """
    from offline_trader.evaluation.walk_forward import load_windows

    return load_windows(walk, env.load_bars())


def known_results(policies: Sequence[str], further: Sequence[Path]) -> tuple[ScoreRow, ...]:
    """Scores that lie in the policies' runs, or in the run of a model's folder, and ``further``."""
    from offline_trader.evaluation.known_optimum.results import find_results, load_results

    places = [Path(policy) for policy in policies if not policy.startswith("expert:")]
    places += [each for place in places for each in seed_folders(place)]
    runs = [each for place in places for each in (place, place.parent, place.parent.parent)]
    own = [
        run
        for run in runs
        if run in places or (run / "manifest.json").is_file() or seed_folders(run)
    ]
    results = [*find_results(own), *(each for path in further for each in load_results(path))]
    return tuple({to_json(each): each.row() for each in results}.values())


def evaluate_seeds(
    sources: Sequence[str],
    strategies: Sequence[FoundStrategy],
    config: EvaluateConfig,
    folder: Path,
    progress: Progress = Silent(),
    gates: GateSet | None = None,
    *,
    known_optimum: tuple[ScoreRow, ...] = (),
    windows: tuple[WindowRow, ...] = (),
) -> Evaluation:
    """Evaluate every seed briefly and one of them closely.

    The seed that validation chose, if one did: its choice has not seen these bars, and it is the
    one that export takes. Otherwise the one with the median Sharpe ratio.

    Args:
        sources: what was named, as a folder of seeds.
        strategies: of :func:`offline_trader.pipeline.find_strategies`.
        config, folder, progress, gates, known_optimum, windows: as :func:`evaluate_strategy`.
    """
    from offline_trader.evaluation.judging import SeedRun, seed_study

    own = config.options.seed == strategies[0].seed
    runs = [SeedRun(each.seed, each.open(), each.trial, each.name) for each in strategies]
    with progress.task(f"evaluating {len(runs)} seeds", len(runs)) as advance:
        study = seed_study(
            runs,
            config.env,
            config.options,
            ledger=TrialLedger(LEDGER_FOLDER),
            own_seeds=own,
            on_seed=advance,
        )
    best = validated_seed(sources)
    seeds = [each.seed for each in strategies]
    index, why = study.median, "with the median Sharpe ratio"
    if best is not None and best in seeds:
        index, why = seeds.index(best), "that validation chose"
    chosen = strategies[index]
    if own:
        config = replace(config, options=replace(config.options, seed=chosen.seed))
    named = replace(chosen, name=f"{study_name(sources)}, seed {chosen.seed}")
    note = (
        f"Curves and measures are those of {named.name}, of {len(seeds)} seeds the one {why}; "
        "the other seeds' are under Seeds."
    )
    return evaluate_strategy(
        named,
        config,
        folder,
        progress,
        gates,
        seeds=study.rows,
        known_optimum=known_optimum,
        windows=windows,
        notes=(note,),
    )


def evaluate_strategy(
    strategy: FoundStrategy,
    config: EvaluateConfig,
    folder: Path,
    progress: Progress = Silent(),
    gates: GateSet | None = None,
    *,
    seeds: tuple[ScoreRow, ...] = (),
    known_optimum: tuple[ScoreRow, ...] = (),
    windows: tuple[WindowRow, ...] = (),
    notes: tuple[str, ...] = (),
) -> Evaluation:
    """Evaluate, count the trial, write ``evaluation.json``, ``report.html`` and PNG files.

    With ``gates`` they are checked too, and noted in the manifest of a model that has one.
    ``seeds``, ``known_optimum`` and ``windows`` are shown in their sections, ``notes`` at the end.

    Raises:
        ConfigError, DataError: a range without bars, or a model that cannot be opened.
    """
    options = replace(config.options, name=config.options.name or strategy.name)
    with progress.task("evaluating") as advance:
        evaluation = evaluate(
            strategy.open(),
            config.env,
            options,
            ledger=TrialLedger(LEDGER_FOLDER),
            trial=strategy.trial,
        )
        goals, short = goal_sweep(strategy, config.env)
        evaluation = replace(
            evaluation,
            known_optimum=known_optimum,
            seeds=seeds,
            windows=windows,
            stages=tuple(stage_score(row) for row in strategy.history),
            goals=goals,
            options=options_of(strategy, config.env),
            preferences=preference_sweep(strategy, config.env),
            notes=(*evaluation.notes, *short, *notes),
        )
        if gates is not None:
            evaluation = _gated(strategy, config, evaluation, gates, progress)
        advance(1, 1)
    publish(evaluation, folder)
    return evaluation


def goal_sweep(strategy: FoundStrategy, env: EnvConfig) -> tuple[GoalSweep | None, tuple[str, ...]]:
    """Desired beside achieved over ``env``'s bars; None for a strategy that takes no goal, and
    with a note where the bars are fewer than the horizon of an outcome."""
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.evaluation.judging import require_horizon, sweep_goals

    if strategy.goal is None:
        return None, ()
    policy: Any = strategy.open()
    span = EvaluationRange.from_env(env)
    try:
        require_horizon(policy.task, span)
    except DataError as short:
        return None, (f"Desired beside achieved is left out: {short.found}.",)
    return sweep_goals(policy, span, env.simulator, chosen=strategy.goal.chosen), ()


def options_of(strategy: FoundStrategy, env: EnvConfig) -> OptionUse | None:
    """What a policy of options did with them over ``env``'s bars; None for another strategy."""
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.evaluation.judging import option_use
    from offline_trader.evaluation.measures import regime_labels

    policy: Any = strategy.open()
    if not hasattr(policy, "decide") or not hasattr(policy, "names"):
        return None
    span = EvaluationRange.from_env(env)
    runs = span.account(policy, env.simulator).backtests
    labels = [
        regime_labels(one.bars.close, one.range.start, one.range.stop)[: len(run.actions)]
        for one, run in zip(span.instruments, runs, strict=True)
    ]
    return option_use(policy, runs, labels)


def preference_sweep(strategy: FoundStrategy, env: EnvConfig) -> PreferenceSweep | None:
    """Growth against drawdown over ``env``'s bars; None for a strategy that takes no preference."""
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.evaluation.judging import sweep_preferences

    if strategy.preference is None or not strategy.preference.given:
        return None
    policy: Any = strategy.open()
    return sweep_preferences(policy, EvaluationRange.from_env(env), env.simulator)


def stage_score(row: StageRow) -> ScoreRow:
    """A stage of the training as a row of the report."""
    from offline_trader.evaluation.judging import ScoreRow

    kept = {"warm_start": "the policy before it", "best": "its best policy", "last": "its last"}
    note = ": ".join(text for text in (kept.get(row.kept, ""), row.reason) if text)
    note = "; ".join((note or "its policy goes on", *row.told))
    return ScoreRow(
        name=row.stage,
        value=row.difference,
        interval=row.interval,
        note=note,
        measures={"validation_sharpe": row.validation_sharpe},
    )


def judge_imported(
    source: Source, options: ImportOptions, folder: Path, progress: Progress = Silent()
) -> Evaluation:
    """Judge results that were made elsewhere like those of our own.

    Args:
        source: a table of returns, equity, profits or trades, or a Series with a time index.
        options: how it is read.
        folder: where the report goes.

    Raises:
        DataError, ConfigError: a table that cannot be read as such results.
    """
    from offline_trader.evaluation.imported import evaluate_imported

    with progress.task("judging") as advance:
        evaluation = evaluate_imported(source, options, ledger=TrialLedger(LEDGER_FOLDER))
        advance(1, 1)
    publish(evaluation, folder)
    return evaluation


def _gated(
    strategy: FoundStrategy,
    config: EvaluateConfig,
    evaluation: Evaluation,
    gates: GateSet,
    progress: Progress,
) -> Evaluation:
    """The evaluation with its gates, which go into the manifest beside an ONNX file too."""
    from offline_trader.evaluation.gates import gate_rows
    from offline_trader.export import OnnxPolicy, record_gates

    policy = strategy.open()
    weights = strategy.preference
    known = {} if weights is None else {"objective_balance": weights.largest}
    rows = gate_rows(policy, config.env, evaluation, gates, known=known)
    judged = replace(evaluation, gates=rows)
    model = policy.file if isinstance(policy, OnnxPolicy) else None
    if model is not None and (model.path.parent / "manifest.json").exists():
        record_gates(model.path, judged.to_dict()["gates"], sha256=model.sha256)
    elif judged.kind == "policy":
        progress.note("note: no manifest takes the gates; that is beside an exported ONNX file")
    return judged
