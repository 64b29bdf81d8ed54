"""Judging: policies, experts and the line itself, with a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from offline_trader.config import with_settings
from offline_trader.errors import ConfigError
from offline_trader.markets import signal_names
from offline_trader.pipeline.progress import Progress
from offline_trader.workbench.market_sources import (
    Day,
    MarketLike,
    day_text,
    found_again,
    load_bars,
    sources_of,
)
from offline_trader.workbench.progress_bars import progress_for
from offline_trader.workbench.results import Model, Report, Trained
from offline_trader.workbench.training import Rule, expert_texts, observed, resolved
from offline_trader.workbench.wording import in_python
from offline_trader.workers import Workers

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.evaluation.audit import AuditResult
    from offline_trader.evaluation.gates import GateSet
    from offline_trader.evaluation.known_optimum.results import KnownResult
    from offline_trader.pipeline import FoundStrategy
    from offline_trader.pipeline.policy_folds import PolicyFactory

__all__ = ["Judged", "audit", "evaluate", "judge", "known_optimum", "walk_forward"]

Judged: TypeAlias = Model | Trained | str | Path
"""What is judged by name: model, training, file, ``expert:NAME``, ``file.py:function``."""


@in_python
def evaluate(
    policy: Judged | Sequence[Judged] | object,
    market: MarketLike | Sequence[MarketLike] | None = None,
    *,
    start: Day | None = None,
    end: Day | None = None,
    experts: Sequence[Rule] | None = None,
    gates: str | Path | None = None,
    stage: int | None = None,
    walk_forward: str | Path | None = None,
    known_optimum: Sequence[str | Path] = (),
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    unverified: bool = False,
    progress: bool | Progress = True,
) -> Report:
    """Judge a policy or an expert: measures, intervals, collapse verdict, comparators, a report.

    The policy runs deterministically under the trading rules of its training. Every evaluated
    configuration is counted in ``runs/trials.jsonl``.

    Args:
        policy: what :func:`export_policy`, :func:`finetune` or :func:`pretrain` returned, an ONNX
            file, a run directory, or ``expert:NAME``; several are seeds of one configuration. Or a
            policy from elsewhere: a function of observations [N, F + P] to actions [N], a
            stable-baselines3 or d3rlpy model, a torch module, a TorchScript or plain ONNX file,
            ``file.py:function`` that is or returns one of these.
        market: bars to judge on; by default those of the training, where they are known.
        start: first date; by default the first that training did not see.
        end: last date, included.
        experts: compare with these; by default with those that taught it.
        gates: ``default`` or a file of limits that the result is held against.
        stage: whose limits the gates use.
        walk_forward: show the windows of this walk-forward over the same market.
        known_optimum: results of scores on known optima to be shown, too.
        seed: of bootstrap, permutations and noise; by default that of the training.
        settings: others by dotted key, such as ``{"options.noise_draws": 0}``.
        output: folder of the report; by default named by policy, market and dates.
        overwrite: replace a report that is there.
        unverified: take a model that states no hash of itself.
        progress: show a bar; False: silent; or what is told instead.

    Raises:
        ConfigError: a wrong setting, seeds that differ in more than the seed, or a report that is
            there.
        DataError: a policy or bars that cannot be used, or no bars after those of the training.
        SchemaMismatch: a model for another observation layout.
    """
    from offline_trader.pipeline import evaluating
    from offline_trader.pipeline.report_folder import claimed_folder, evaluation_folder
    from offline_trader.pipeline.seed_strategies import study_name
    from offline_trader.pipeline.strategies import require_bars

    told = progress_for(progress)
    names, strategies = _found(policy, unverified=unverified)
    base, seen_until = evaluating.own_settings(strategies)
    if market is None and "market" in base["env"]:
        base["env"]["market"] = found_again(base["env"]["market"])
    plan = resolved(
        evaluating.EvaluateConfig,
        settings,
        base,
        env__market=sources_of(market, signal_names(base["env"].get("features", ()))),
        env__start=day_text(start),
        env__end=day_text(end),
        options__experts=expert_texts(experts) if experts is not None else None,
        options__seed=seed,
    )
    given = market is not None or "market" in with_settings({}, settings or {}).get("env", {})
    evaluating.note_market(told, strategies[0], plan.env, named=given)
    evaluating.note_seen_bars(told, plan.env, seen_until)
    require_bars(plan.env, seen_until)
    known = evaluating.known_results(names, [Path(each) for each in known_optimum])
    windows = () if walk_forward is None else evaluating.windows_of(Path(walk_forward), plan.env)
    limits = _limits(gates, stage)
    for each in strategies:
        each.open()
    missing = [each for each in strategies[0].unasked if each not in plan.options.experts]
    if missing:
        told.note(
            f"not compared with {', '.join(missing)}, which the model names: its code is imported "
            "only if you name it among the experts"
        )
    name = strategies[0].name if len(strategies) == 1 else study_name(names)
    folder = evaluation_folder(name, plan.env) if output is None else Path(output)
    shown: dict[str, Any] = {"known_optimum": known, "windows": windows}
    with claimed_folder(folder, overwrite=overwrite):
        if len(strategies) > 1:
            found = evaluating.evaluate_seeds(
                names, strategies, plan, folder, told, limits, **shown
            )
        else:
            found = evaluating.evaluate_strategy(strategies[0], plan, folder, told, limits, **shown)
    return Report(found, folder)


@in_python
def walk_forward(
    market: MarketLike | None = None,
    *,
    start: Day | None = None,
    end: Day | None = None,
    experts: Sequence[Rule] | None = None,
    transitions: int | None = None,
    gates: str | Path | None = None,
    stage: int | None = None,
    seed: int | None = None,
    run: str | Path = "runs/walk-forward",
    settings: Mapping[str, Any] | None = None,
    workers: Workers = 1,
    train: PolicyFactory | str | None = None,
    features: Rule | Sequence[Rule] = (),
    signals: Sequence[str] = (),
    signal_files: Sequence[str | Path] = (),
    features_only: bool = False,
    trust_features: bool = False,
    progress: bool | Progress = True,
) -> Report:
    """Train on windows that move through time, judge each policy on the bars after its window.

    Args:
        market: one instrument's bars.
        start, end: the dates that are cut into windows.
        experts, transitions: as for :func:`collect`.
        gates, stage: as for :func:`evaluate`; the joined test ranges are held against them.
        seed: each window's own seed derives from it.
        run: the run directory; finished windows of the same settings are kept.
        settings: others by dotted key, such as ``{"windows.train_bars": 1000}``.
        workers: windows at once, or a Ray cluster, as ``"ray"``.
        train: makes the policy of a window, instead of the line: a function of a
            :class:`~offline_trader.pipeline.Window` (environment settings, validation, seed) that
            returns whatever :func:`evaluate` takes; with several workers ``file.py:function``.
        features, signals, signal_files, features_only, trust_features: as for :func:`collect`.
        progress: show a bar; False: silent; or what is told instead.

    Raises:
        ConfigError, DataError: settings or bars that cannot be used, or too few bars.
    """
    from offline_trader.config import to_dict
    from offline_trader.pipeline import WALK_FORWARD, WalkForwardConfig, walk_market

    plan = resolved(
        WalkForwardConfig,
        settings,
        to_dict(WALK_FORWARD),
        env__market=sources_of(market, () if signal_files else signals),
        **observed(features, signals, signal_files, only=features_only, trust=trust_features),
        env__start=day_text(start),
        env__end=day_text(end),
        experts=expert_texts(experts) or None,
        transitions=transitions,
        seed=seed,
    )
    place, told = Path(run), progress_for(progress)
    limits = _limits(gates, stage)
    _, found = walk_market(plan, place, told, workers=workers, gates=limits, factory=train)
    return Report(found, place)


@in_python
def judge(
    results: pd.Series | pd.DataFrame | str | Path,
    *,
    name: str | None = None,
    kind: str | None = None,
    benchmark: MarketLike | None = None,
    settings: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | Progress = True,
) -> Report:
    """Judge returns, an equity curve or trades that were made elsewhere like one of our results.

    Args:
        results: a Series with a time index, a frame, or a file.
        name: for the report; by default the Series' or the file's.
        kind: ``returns``, ``equity``, ``profits`` or ``trades``; told by the columns.
        benchmark: market to compare with.
        settings: others of :class:`~offline_trader.evaluation.imported.ImportOptions`, such as
            ``{"percent": True}``.
        output: folder of the report; ``runs/judge-NAME`` by default.
        overwrite: replace a report that is there.
        progress: show a bar; False: silent; or what is told instead.

    Raises:
        DataError: a row that is wrong, or a file that cannot be read.
        ConfigError: a kind that cannot be told, a wrong setting, or a report that is there.
    """
    from offline_trader.evaluation.imported import ImportOptions
    from offline_trader.pipeline import judge_imported
    from offline_trader.pipeline.report_folder import claimed_folder

    usual = Path(results).stem if isinstance(results, str | Path) else getattr(results, "name", "")
    (against,) = sources_of(benchmark) or (None,)
    options = resolved(
        ImportOptions, settings, name=name or str(usual or "results"), kind=kind, benchmark=against
    )
    folder = Path("runs") / f"judge-{options.name}" if output is None else Path(output)
    with claimed_folder(folder, overwrite=overwrite):
        return Report(judge_imported(results, options, folder, progress_for(progress)), folder)


@in_python
def audit(
    thing: Any,
    market: MarketLike = "sp500",
    *,
    bars: int = 1_000,
    cuts: int = 6,
    seed: int = 0,
    policy: bool = False,
    unverified: bool = False,
) -> AuditResult:
    """Look for leaks: change the bars after a cut, and see which outputs up to it moved.

    Args:
        thing: a function of a frame of bars (open, high, low, close, volume; index of times) that
            returns a row a bar; ``features``, ``expert:NAME`` or ``file.py:function``; with
            ``policy`` whatever :func:`evaluate` takes.
        market: bars to look at.
        bars: use the first so many.
        cuts: places in time to cut at.
        seed: of cuts and changes.
        policy: it is a policy: its actions are looked at, on a walk through the bars.
        unverified: as for :func:`evaluate`.

    Raises:
        ConfigError: the function fails, or returns no numbers.
        DataError: too few bars.
    """
    from offline_trader.evaluation import audit
    from offline_trader.pipeline.foreign_strategies import strategy_walk

    if policy:
        function = strategy_walk(_found(thing, unverified=unverified)[1][0])
    else:
        function = audit.audited(thing) if isinstance(thing, str) else thing
    loaded = load_bars(market)
    frame = loaded.slice(0, min(bars, len(loaded))).to_frame()
    return audit.audit_function(function, frame, audit.AuditConfig(cuts=cuts, seed=seed))


@in_python
def known_optimum(
    name: str,
    policy: object = None,
    *,
    train: str | None = None,
    seeds: int = 1,
    seed: int | None = None,
    realised: bool = False,
    settings: Mapping[str, Any] | None = None,
    run: str | Path | None = None,
    unverified: bool = False,
    progress: bool | Progress = True,
) -> KnownResult:
    """Score a policy, or a method by what it learns, on a market whose best policy is known: 100.

    Args:
        name: ``M0`` to ``M4``, one of the datasets (``M1-wide`` …), or ``M3-bars``: M3 as a market
            through features and simulator.
        policy: ``optimal``, ``behaviour``, a function of the market's observations [N, O] to
            actions [N], a stable-baselines3, d3rlpy or torch model of them; on ``M3-bars``
            whatever :func:`evaluate` takes.
        train: or a method: an algorithm's name, ``direct``, or ``file.py:function`` of (data,
            seed) that returns a policy.
        seeds: trainings.
        seed: of the scoring run, and the first of the trainings.
        realised: learn from rewards as they were realised instead of expected.
        settings: others by dotted key, such as ``{"score_lanes": 256}``.
        run: keep the result in this folder, where :func:`evaluate` finds it.
        unverified: as for :func:`evaluate`.
        progress: show a bar; False: silent; or what is told instead.

    Raises:
        ConfigError: no such market, policy or method, or both a policy and a method.
        DataError: a policy that cannot be opened.
    """
    from offline_trader.pipeline import KnownOptimumConfig, score_method, score_named

    if (policy is None) == (train is None):
        raise ConfigError("both policy and train" if train else "neither policy nor train",
                          expected="one of the two: what is to be scored")  # fmt: skip
    own = train is not None and (":" in train or train in ("direct", "evolution"))
    plan = resolved(
        KnownOptimumConfig, settings, learner__algorithm=None if own else train, seed=seed
    )
    told = progress_for(progress)
    if train is None:
        if isinstance(policy, Model | Trained):
            policy = str(policy.path)
        found, _ = score_named(name, policy, plan, told, unverified=unverified)
    else:
        method = train if own else None
        found, _ = score_method(name, method, plan, told, seeds=seeds, realised=realised)
    if run is not None:
        found.save(Path(run))
    return found


def _found(policy: object, *, unverified: bool) -> tuple[list[str], list[FoundStrategy]]:
    """What was named, and the strategies that it is."""
    from offline_trader.experts import Expert, expert_text
    from offline_trader.export import OnnxPolicy
    from offline_trader.pipeline import FoundStrategy, find_strategies, foreign_strategy
    from offline_trader.policies import adapt

    given = list(policy) if isinstance(policy, list | tuple) else [policy]
    if all(isinstance(each, Model | Trained | OnnxPolicy | str | Path) for each in given):
        names = [
            str(each.path if isinstance(each, Model | Trained | OnnxPolicy) else each)
            for each in given
        ]
        return names, find_strategies(names, as_seeds=len(names) > 1, unverified=unverified)
    if len(given) > 1:
        raise ConfigError(
            f"{len(given)} policies, not all of them by name",
            expected="one; or several runs or models as seeds of one configuration",
        )
    if isinstance(given[0], Expert):
        name, expert = f"expert:{given[0].name}", given[0]
        trial = {"expert": expert_text(expert.to_dict()), "seed": 0}
        return [name], [FoundStrategy(expert.name, lambda: expert, trial=trial)]
    found = foreign_strategy(adapt(given[0]))
    return [found.name], [found]


def _limits(gates: str | Path | None, stage: int | None) -> GateSet | None:
    """The limits that are asked for; None without either."""
    if gates is None and stage is None:
        return None
    from offline_trader.evaluation.gates import load_gates

    return load_gates(None if gates in (None, "default") else str(gates), stage)
