"""Exporting: a run's policy as one ONNX file with its manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.config import portable, to_dict
from offline_trader.errors import GateFailed
from offline_trader.goals import Conditioned, GoalTask, Preference, Preferred
from offline_trader.hashing import file_sha256
from offline_trader.locks import locked
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.run_facts import ModelFacts
from offline_trader.pipeline.strategies import find_strategy, last_day_seen, source_experts
from offline_trader.pipeline.trained_runs import (
    OPTIONS_FILE,
    POLICY_FILE,
    TrainedRun,
    finished_run,
    options_policy,
    policy_hash,
    trained_policy,
)
from offline_trader.runs import LOCK

if TYPE_CHECKING:
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.backtest import Backtest
    from offline_trader.export import ExportResult, OnnxPolicy, ParityReport
    from offline_trader.learning.agents import Learner
    from offline_trader.monitoring import TrainingSummary
    from offline_trader.types import ObservationLayout, Observations, Policy

__all__ = ["Exported", "Exporting", "check_export", "export_run", "publish_model"]


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        model, manifest: the files.
        sha256: of the model.
        size_bytes: of the model.
        max_abs_difference: largest difference from the torch actor over the parity probes.
        collapse: collapse measures of the deterministic policy.
        verdicts: COLLAPSED, STATE-BLIND, SATURATED, as they apply.
    """

    model: Path
    manifest: Path
    sha256: str
    size_bytes: int
    max_abs_difference: float
    collapse: Mapping[str, Any]
    verdicts: tuple[str, ...]


def check_export(run: Path, *, unverified: bool = False) -> None:
    """Nothing if ``run`` has a policy that can be exported; it is not opened.

    Raises:
        DataError, SchemaMismatch: as :func:`export_run`.
    """
    policy_hash(finished_run(run), unverified=unverified)


def export_run(
    run: Path,
    target: Path,
    progress: Progress = Silent(),
    *,
    force: bool = False,
    unverified: bool = False,
    refusal: Path | None = None,
) -> Exported:
    """Export ``run``'s policy to ``target``.

    Args:
        run: a finished run.
        target: the ONNX file.
        progress: shows the evaluation of a policy that is refused.
        force: export a collapsed policy, too.
        unverified: the run's manifest may lack the policy's hash.
        refusal: folder for a report on a policy that is refused as collapsed, over the bars that
            decided it; one that is there is replaced. None: no report.

    Raises:
        DataError: no finished run.
        ConfigError: the place belongs to another manifest, or another process exports to it.
        SchemaMismatch: the run was trained with another observation layout.
        GateFailed: a collapsed policy without ``force``, or one that differs from torch.
    """
    from offline_trader.export import refuse_taken_place

    refuse_taken_place(target)
    finished = finished_run(run)
    learner = trained_policy(finished, unverified=unverified)
    kind = _exporting if finished.facts.options is None else _exporting_options

    def report() -> None:
        if refusal is not None:
            _report(finished, refusal, progress, unverified=unverified)

    return publish_model(kind(finished, learner), target, force=force, refused=report)


def _exporting(run: TrainedRun, learner: Learner) -> Exporting:
    """The policy of a learner."""
    from offline_trader.export import export_onnx, torch_policy
    from offline_trader.learning.agents import DeterministicActor

    facts = run.facts
    layout = facts.layout
    task = None if facts.goal is None else facts.goal.task
    taken = facts.preference if facts.preference is not None and facts.preference.given else None
    acting: Policy = Conditioned(learner, task) if task else learner
    scales, actor = learner.preprocessing, DeterministicActor(learner)
    described = _description(run)
    return Exporting(
        strategy=Preferred(learner, taken) if taken else acting,
        layout=layout,
        env=facts.validation_env or facts.env,
        trained_on=facts.env,
        write=lambda path: export_onnx(
            actor, scales, layout, path, to_dict(described), task, taken
        ),
        reference=torch_policy(actor, scales, layout, task=task, preference=taken),
        exact=torch_policy(actor, scales, layout, exact=True, task=task, preference=taken),
        facts=described,
        parents={"policy": run.path / POLICY_FILE, **_parents(run)},
    )


def _exporting_options(run: TrainedRun, learner: Learner) -> Exporting:
    """A controller with its options, compared in states of all kinds."""
    from offline_trader.export import OptionStates, export_options, option_parity
    from offline_trader.learning.options import STATE_COLUMNS, fresh_state

    facts, policy = run.facts, options_policy(run, learner)
    initial = tuple(fresh_state(1)[0].tolist())
    states = OptionStates(policy.names, STATE_COLUMNS, initial)
    described = _description(run)
    return Exporting(
        strategy=policy,
        layout=facts.layout,
        env=facts.validation_env or facts.env,
        trained_on=facts.env,
        write=lambda path: export_options(
            policy.chooser, states, learner.preprocessing, facts.layout, path, to_dict(described)
        ),
        reference=policy,
        exact=None,
        facts=described,
        parents={
            "policy": run.path / POLICY_FILE,
            "options": run.path / OPTIONS_FILE,
            **_parents(run),
        },
        compare=lambda written, seen: option_parity(written, policy, observations=seen),
    )


def _report(run: TrainedRun, folder: Path, progress: Progress, *, unverified: bool) -> None:
    """Judge the policy of ``run`` over the bars that its export looks at."""
    from offline_trader.evaluation.judging import EvaluateOptions
    from offline_trader.pipeline.evaluating import EvaluateConfig, evaluate_strategy
    from offline_trader.pipeline.report_folder import claimed_folder

    strategy = find_strategy(str(run.path), unverified=unverified)
    options = EvaluateOptions(experts=strategy.experts, seed=strategy.seed)
    config = EvaluateConfig(run.facts.validation_env or run.facts.env, options)
    with claimed_folder(folder, overwrite=True):
        evaluate_strategy(strategy, config, folder, progress)
    progress.note(f"report on the policy that is refused: {folder / 'report.html'}")


@dataclass(frozen=True, eq=False)
class Exporting:
    """A policy on its way into a file.

    Attributes:
        strategy: the policy, by whose actions on the bars of ``env`` a collapse is told.
        layout: of its observations.
        env: bars and rules.
        trained_on: those of the training, whose features and actions the manifest sums up.
        write: writes the model to a path.
        reference: what the file is compared with, here and in float64 (``exact``), where that is;
            over observations with progress and goal, if it takes one.
        facts: what the model says of itself.
        parents: files, or their hashes, by name.
        compare: compares the file over observations, of a policy that keeps a state; None: by
            ``reference`` and ``exact``.
    """

    strategy: Policy
    layout: ObservationLayout
    env: EnvConfig
    trained_on: EnvConfig
    write: Callable[[Path], ExportResult]
    reference: Policy
    exact: Policy | None
    facts: ModelFacts
    parents: Mapping[str, Path | str]
    compare: Callable[[Any, Observations], ParityReport] | None = None


def publish_model(
    source: Exporting,
    target: Path,
    *,
    force: bool,
    refused: Callable[[], None] = lambda: None,
) -> Exported:
    """Write the model and its manifest, unless the policy collapsed; then call ``refused``.

    Raises:
        ConfigError: the place belongs to another manifest, or another process exports to it.
        GateFailed: a collapsed policy without ``force``, or a file that differs from the policy.
    """
    import numpy as np

    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.evaluation.measures import collapse_of, verdicts_of
    from offline_trader.export import (
        ManifestFacts,
        refuse_collapsed,
        refuse_taken_place,
        write_manifest,
    )
    from offline_trader.features import feature_set
    from offline_trader.serving import write_vectors

    span = EvaluationRange.from_env(source.env)
    backtests = span.account(source.strategy, source.env.simulator).backtests
    training = _training_summary(source, backtests)
    measures = collapse_of(backtests)
    reasons = verdicts_of(measures.to_dict())
    collapse = {**measures.to_dict(), "verdicts": list(reasons), "reasons": reasons}
    try:
        refuse_collapsed(collapse, force=force)
    except GateFailed:
        refused()
        raise
    observations = np.concatenate([each.observations for each in backtests])
    if source.facts.goal is not None:
        observations = _with_goals(observations, source.facts.goal.task)
    if source.facts.preference is not None and source.facts.preference.given:
        observations = _with_weights(observations, source.facts.preference)
    # The model and the manifest beside it are of one export.
    with locked(target.parent / LOCK, f"the folder {target.parent}"):
        refuse_taken_place(target)
        result, report, policy = _write_model(source, target, observations)
        vectors: Mapping[str, str] = {}
        if not policy.keeps_state:  # which their columns do not hold
            vectors = write_vectors(
                policy, feature_set(source.env.features), target, source.env.signals.names
            )
        written = write_manifest(
            target,
            ManifestFacts(
                layout_hash=source.layout.hash,
                parents=source.parents,
                collapse=collapse,
                parity=report,
                force=force,
                facts=to_dict(source.facts),
                vectors=vectors,
                training=training,
            ),
        )
    return Exported(
        model=target,
        manifest=written,
        sha256=result.sha256,
        size_bytes=result.size_bytes,
        max_abs_difference=report.max_abs_difference,
        collapse=collapse,
        verdicts=measures.verdicts,
    )


def _training_summary(source: Exporting, judged: Sequence[Backtest]) -> TrainingSummary:
    """The distributions of features and of the policy's actions on the training's bars."""
    import numpy as np

    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.monitoring import summarise

    made = judged
    if source.trained_on != source.env:
        span = EvaluationRange.from_env(source.trained_on)
        made = span.account(source.strategy, source.trained_on.simulator).backtests
    return summarise(
        np.concatenate([each.observations for each in made]),
        np.concatenate([each.actions for each in made]),
        source.layout.features,
    )


def _with_goals(observations: Observations, task: GoalTask) -> Observations:
    """The observations with progress and goals of all sizes."""
    import numpy as np

    n, sizes = len(observations), task.scales
    drawn = np.random.default_rng(0).uniform(-1.0, 1.0, (n, len(sizes))) * sizes
    goals = np.resize(task.sweep(), n)
    return task.widened(observations, drawn[:, :-1], goals)


def _with_weights(observations: Observations, preference: Preference) -> Observations:
    """The observations, each with weights of its own."""
    import numpy as np

    drawn = preference.drawn(len(observations), np.random.default_rng(0))
    return preference.widened(observations, drawn)


def _write_model(
    source: Exporting, target: Path, observations: Observations
) -> tuple[ExportResult, ParityReport, OnnxPolicy]:
    """Write the model beside its place, compare it, and put it there if the two agree.

    Raises:
        GateFailed: they differ; what was at ``target`` is still there.
    """
    from offline_trader.export import open_model, parity

    candidate = target.with_name(f".{target.name}.tmp")
    try:
        result = source.write(candidate)
        policy = open_model(candidate, expected_layout=source.layout)
        if source.compare is not None:
            report = source.compare(policy, observations)
        else:
            report = parity(policy, source.reference, exact=source.exact, observations=observations)
        if not report.holds:
            raise GateFailed(
                f"the model differs from the policy by {report.max_abs_difference:.2e}",
                expected=f"at most {report.tolerance:.0e}",
            )
        candidate.replace(target)
    finally:
        candidate.unlink(missing_ok=True)
    return result, report, policy


def _description(run: TrainedRun) -> ModelFacts:
    """What the model says about itself: no clock and no path, so equal runs give equal bytes."""
    manifest, facts, validation = run.manifest, run.facts, run.facts.validation_env
    observed = portable(to_dict(facts.env))
    return ModelFacts(
        command=manifest.command,
        seed=manifest.seed,
        config_hash=manifest.config_hash,
        policy_sha256=file_sha256(run.path / POLICY_FILE),
        market_sha256=manifest.data_hash,
        market=tuple(observed["market"]),
        tz=facts.env.tz,
        train_range=(facts.env.start, facts.env.end or last_day_seen(facts.env, None)),
        validation_range=(None, None) if validation is None else (validation.start, validation.end),
        simulator=facts.env.simulator,
        features=facts.env.features,
        signal_files=tuple(observed["signal_files"]),
        bar_end=facts.env.bar_end,
        own_features=facts.own_features,
        experts=tuple(_portable(text) for text in source_experts(facts.experts)),
        privileged=facts.privileged,
        engine=facts.engine,
        direct_engine=None if facts.direct is None else facts.direct.engine,
        history=facts.history,
        goal=facts.goal,
        options=facts.options,
        preference=facts.preference,
    )


def _parents(run: TrainedRun) -> dict[str, str]:
    """Hashes of what the run was made from, by the name of the file or folder."""
    return {Path(each["path"]).name: each["sha256"] for each in run.manifest.parents}


def _portable(expert: str) -> str:
    """The expert's text without the folder of this machine that a file of one's own lies in."""
    place, colon, rest = expert.partition(":")
    return f"{Path(place).name}:{rest}" if colon and Path(place).is_absolute() else expert
