"""A walk-forward of the whole line over one market, with its report in a run directory."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.codec import to_json
from offline_trader.config import to_dict
from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward import (
    Fold,
    FoldJob,
    WalkForwardResult,
    make_folds,
    walk_forward,
)
from offline_trader.features import compute_features
from offline_trader.markets import Bars, load_market
from offline_trader.pipeline.folds import LineJob
from offline_trader.pipeline.policy_folds import PolicyFactory, PolicyJob
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.report_folder import publish
from offline_trader.pipeline.settings import WalkForwardConfig
from offline_trader.runs import Run, atomic_write
from offline_trader.workers import Workers, usable_workers

if TYPE_CHECKING:
    from offline_trader.evaluation.gates import GateSet
    from offline_trader.evaluation.judging import Evaluation

__all__ = ["walk_market", "walk_plan"]


def walk_plan(config: WalkForwardConfig) -> tuple[Bars, tuple[Fold, ...]]:
    """The market's bars and the windows over them.

    Raises:
        ConfigError, DataError: bars that cannot be read, or too few for one window.
    """
    (market,), env = config.env.market, config.env
    bars = load_market(market, tz=env.tz, signals=env.signals)
    first, stop = bars.rows_between(env.start, env.end)
    warmup = compute_features(bars, env.features).warmup
    return bars, make_folds(stop, config.windows, max(warmup, first))


def walk_market(
    plan: WalkForwardConfig,
    run: Path,
    progress: Progress = Silent(),
    *,
    workers: Workers = 1,
    gates: GateSet | None = None,
    factory: PolicyFactory | str | None = None,
) -> tuple[dict[str, Any], Evaluation]:
    """Run the line, or ``factory``, on every window; the content of ``walk_forward.json`` and the
    joined test ranges as one evaluation, with its gates.

    Args:
        plan: windows and line.
        run: the run directory; finished windows of the same settings are kept.
        workers: windows at once, or a Ray cluster.
        gates: limits that the joined ranges are held against.
        factory: trains a policy on a window instead of the line; with several workers it is named
            as ``file.py:function``.

    Raises:
        ConfigError, DataError: settings or bars that cannot be used, or a folder of another walk.
        OfflineTraderError: a worker process was killed.
    """
    workers = usable_workers(workers)
    if workers != 1 and callable(factory):
        raise ConfigError(
            f"{workers} workers with a function of this process",
            expected="file.py:function, by which a worker process finds it",
        )
    bars, folds = walk_plan(plan)
    job: FoldJob = LineJob(plan) if factory is None else PolicyJob(plan, factory)
    settings = to_dict(plan) if factory is None else job.to_dict()
    walk = Run.create(
        run,
        settings,
        command="walk-forward",
        seed=plan.seed,
        data_hash=bars.sha256,
        resume=True,
    )
    with walk, progress.task("walking forward", len(folds)) as advance:
        result = walk_forward(
            folds,
            job,
            run,
            periods_per_year=bars.periods_per_year,
            workers=workers,
            on_progress=advance,
            meanwhile=_load_report,
        )
        payload, evaluation = _published(plan, settings, bars, result, run, gates)
        walk.finish(**payload["summary"])
    return payload, evaluation


def _load_report() -> None:
    """Load what only the report needs: a second, best spent while a core is idle."""
    for name in (
        "resvg_py",
        "jinja2",
        "offline_trader.evaluation.walk_forward.joined_windows",
        "offline_trader.evaluation.report.png",
    ):
        importlib.import_module(name)
    from offline_trader.evaluation.statistics import bootstrap_interval

    rng = np.random.default_rng(0)  # a small one brings in all that the large ones use
    bootstrap_interval(rng.normal(size=250), rng=rng, replicates=100)


def _published(
    plan: WalkForwardConfig,
    settings: dict[str, Any],
    bars: Bars,
    result: WalkForwardResult,
    run: Path,
    gates: GateSet | None,
) -> tuple[dict[str, Any], Evaluation]:
    """Write the results and the report; the content of ``walk_forward.json`` and the joined test
    ranges as one evaluation, with its gates."""
    from offline_trader.evaluation.judging import LEDGER_FOLDER, TrialLedger
    from offline_trader.evaluation.walk_forward import joined_evaluation

    payload = {"market": plan.env.market[0], "config": settings, **result.to_dict(plan.seed)}
    evaluation = joined_evaluation(
        result,
        bars,
        plan.env.simulator,
        seed=plan.seed,
        ledger=TrialLedger(LEDGER_FOLDER),
        trial=settings,
    )
    if gates is not None:
        from offline_trader.evaluation.gates import check_gates

        evaluation = replace(evaluation, gates=check_gates(evaluation, gates))
        payload["gates"] = evaluation.to_dict()["gates"]
    atomic_write(run / "walk_forward.json", to_json(payload, indent=2, ensure_ascii=False).encode())
    publish(evaluation, run)
    return payload, evaluation
