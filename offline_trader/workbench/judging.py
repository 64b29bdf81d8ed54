"""Judging: policies, experts and the line itself, with a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from offline_trader.pipeline.progress import Progress
from offline_trader.workbench.market_sources import Day, MarketLike, day_text, sources_of
from offline_trader.workbench.progress_bars import progress_for
from offline_trader.workbench.results import Model, Report, Trained
from offline_trader.workbench.training import Rule, expert_texts, resolved
from offline_trader.workbench.wording import in_python

if TYPE_CHECKING:
    from offline_trader.evaluation.gates import GateSet

__all__ = ["Judged", "evaluate", "walk_forward"]

Judged: TypeAlias = Model | Trained | str | Path
"""What can be judged: a model, a training, an ONNX file, a run directory, ``expert:NAME``."""


@in_python
def evaluate(
    policy: Judged | Sequence[Judged],
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
    """Judge a policy or an expert: measures with intervals, collapse verdict, rivals, a report.

    The policy runs deterministically under the trading rules of its training. Every evaluated
    configuration is counted in ``runs/trials.jsonl``.

    Args:
        policy: what :func:`export_policy`, :func:`finetune` or :func:`pretrain` returned, an ONNX
            file, a run directory, or ``expert:NAME``; several are seeds of one configuration.
        market: bars to judge on; by default those of the training.
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
    from offline_trader.pipeline import evaluating, find_strategies
    from offline_trader.pipeline.report_folder import claimed_folder, evaluation_folder
    from offline_trader.pipeline.seed_strategies import study_name
    from offline_trader.pipeline.strategies import require_bars

    told = progress_for(progress)
    names = _names_of(policy)
    strategies = find_strategies(names, as_seeds=len(names) > 1, unverified=unverified)
    base, seen_until = evaluating.own_settings(strategies)
    plan = resolved(
        evaluating.EvaluateConfig,
        settings,
        base,
        env__market=sources_of(market),
        env__start=day_text(start),
        env__end=day_text(end),
        options__experts=expert_texts(experts) if experts is not None else None,
        options__seed=seed,
    )
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
    workers: int = 1,
    progress: bool | Progress = True,
) -> Report:
    """Train the line on windows that move through time, judge each on the bars after it.

    Args:
        market: one instrument's bars.
        start, end: the dates that are cut into windows.
        experts, transitions: as for :func:`collect`.
        gates, stage: as for :func:`evaluate`; the joined test ranges are held against them.
        seed: each window's own seed derives from it.
        run: the run directory; finished windows of the same settings are kept.
        settings: others by dotted key, such as ``{"windows.train_bars": 1000}``.
        workers: windows at once.
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
        env__market=sources_of(market),
        env__start=day_text(start),
        env__end=day_text(end),
        experts=expert_texts(experts) or None,
        transitions=transitions,
        seed=seed,
    )
    place, told = Path(run), progress_for(progress)
    _, found = walk_market(plan, place, told, workers=workers, gates=_limits(gates, stage))
    return Report(found, place)


def _names_of(policy: Judged | Sequence[Judged]) -> list[str]:
    if isinstance(policy, list | tuple):
        return [name for each in policy for name in _names_of(each)]
    return [str(policy.path if isinstance(policy, Model | Trained) else policy)]


def _limits(gates: str | Path | None, stage: int | None) -> GateSet | None:
    """The limits that are asked for; None without either."""
    if gates is None and stage is None:
        return None
    from offline_trader.evaluation.gates import load_gates

    return load_gates(None if gates in (None, "default") else str(gates), stage)
