"""Finished training runs as others use them: their facts checked, their policy compared and opened.

A run directory may be somebody else's. What it states is read as data: facts of another type are
refused with the file and the key, and the policy is opened only if its bytes are those that the
manifest states.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.codec import from_json
from offline_trader.errors import DataError, SchemaMismatch
from offline_trader.goals import Conditioned, Preferred
from offline_trader.hashing import file_sha256
from offline_trader.pipeline.run_facts import (
    PassedOn,
    TrainingFacts,
    TrainingManifest,
)
from offline_trader.runs import Run

if TYPE_CHECKING:
    from offline_trader.learning.agents import Learner
    from offline_trader.learning.options import OptionsPolicy

__all__ = [
    "OPTIONS_FILE",
    "POLICY_FILE",
    "TrainedRun",
    "acting_policy",
    "finished_run",
    "options_policy",
    "passed_on",
    "policy_hash",
    "trained_policy",
]

POLICY_FILE = "policy.d3"
OPTIONS_FILE = "options.pt"
"""The controller of a run whose policy chooses among options, beside the policy before it."""


@dataclass(frozen=True)
class TrainedRun:
    """A finished training run, whose policy is not opened yet.

    Attributes:
        path: its directory.
        manifest: how it was made.
        facts: what it states of itself.
    """

    path: Path
    manifest: TrainingManifest
    facts: TrainingFacts

    def config(self) -> dict[str, Any]:
        """The settings that it was made with.

        Raises:
            DataError: their file is lost or broken.
        """
        return Run.open(self.path).config()


def finished_run(path: Path) -> TrainedRun:
    """The run at ``path``, which has a policy that fits this version's observations.

    Its policy is not opened.

    Raises:
        DataError: no run, one that is not finished, or one whose manifest lacks what a training
            states.
        SchemaMismatch: it was trained with another observation layout.
    """
    run = Run.open(path)
    if run.status != "done" or not (path / POLICY_FILE).is_file():
        raise DataError(
            f"{path} has status {run.status!r} and no finished policy",
            expected="a finished run of pretrain or finetune",
            hint="finish it with --resume first",
        )
    place = str(path / "manifest.json")
    manifest = from_json(TrainingManifest, run.manifest, place)
    facts = from_json(TrainingFacts, run.facts, f"{place}: facts")
    from offline_trader.features import changed_code

    layout = facts.env.layout
    if facts.layout_hash != layout.hash:
        raise SchemaMismatch(
            f"{path} was trained with observation layout {facts.layout_hash}",
            expected=f"layout {layout.hash}, which this version makes",
            hint=changed_code((each.name, each.sha256) for each in facts.own_features)
            or "train it again, or use the version that made it",
        )
    if facts.layout != layout:
        raise DataError(
            f"{place}: facts: layout has other columns than its hash says",
            hint="the manifest was changed: take it from a copy, or train again",
        )
    return TrainedRun(path, manifest, facts)


def passed_on(run: TrainedRun) -> PassedOn:
    """Settings of ``run`` that a child takes over: learner, validation, seed, dataset, threads.

    Raises:
        DataError: its config.yaml is broken, or lacks one of them.
    """
    return from_json(PassedOn, run.config(), str(run.path / "config.yaml"))


def policy_hash(run: TrainedRun, *, unverified: bool = False) -> str | None:
    """SHA-256 of the policy of ``run`` as its manifest states it, which is that of the file.

    Args:
        run: a finished run.
        unverified: None instead of an error where the manifest states no hash.

    Raises:
        DataError: the manifest states none, or another than the file's.
    """
    stated, file = run.facts.policy_sha256, run.path / POLICY_FILE
    if not stated:
        if unverified:
            return None
        raise DataError(
            f"{run.path / 'manifest.json'} states no hash of {POLICY_FILE}",
            expected="a run that this version finished",
            hint="if you trust where the run comes from, open it with --unverified",
        )
    found = file_sha256(file)
    if found != stated:
        raise DataError(
            f"{file} has SHA-256 {found[:16]}…",
            expected=f"{stated[:16]}…, as {run.path / 'manifest.json'} states",
            hint="the file was changed or damaged after training: take it from a copy, or train "
            "again",
        )
    return stated


def trained_policy(run: TrainedRun, *, unverified: bool = False) -> Learner:
    """The policy of a finished run, after its hash was compared.

    Raises:
        DataError: as :func:`policy_hash`, a file that is no d3rlpy model, or a policy of other
            observations than the run states.
    """
    from offline_trader.learning.agents import load_learner

    file = run.path / POLICY_FILE
    learner = load_learner(file, sha256=policy_hash(run, unverified=unverified))
    goal = run.facts.goal
    width = run.facts.layout.size + (len(goal.task.progress) + 1 if goal else 0)
    preference = run.facts.preference
    width += len(preference.names) if preference is not None and preference.given else 0
    found = (len(learner.preprocessing.mean), learner.action_size)
    if found != (width, 1):
        raise DataError(
            f"{file} reads {found[0]} columns and answers {found[1]} actions",
            expected=f"{width} columns, as {run.path / 'manifest.json'} states, and one action",
        )
    return learner


def options_policy(run: TrainedRun, learner: Learner) -> OptionsPolicy:
    """The policy of a run that chooses among options.

    Args:
        run: with ``facts.options``.
        learner: the policy before it.

    Raises:
        ConfigError: an option of the user's own that is not registered here.
        DataError: the controller's file is not that of the run.
    """
    from offline_trader.learning.options import OptionsPolicy, load_options_agent

    facts = run.facts
    assert facts.options is not None
    stated = (facts.options.settings, facts.layout, facts.env.simulator)
    file = run.path / OPTIONS_FILE
    return OptionsPolicy(load_options_agent(file, facts.options.sha256, learner, *stated).chooser)


def acting_policy(
    run: TrainedRun, *, unverified: bool = False
) -> Learner | Conditioned | Preferred | OptionsPolicy:
    """The policy of a finished run over raw observations; one that takes a goal or a preference
    has its default.

    Raises:
        DataError: as :func:`trained_policy`, and :func:`options_policy`.
    """
    learner = trained_policy(run, unverified=unverified)
    goal, preference = run.facts.goal, run.facts.preference
    if run.facts.options is not None:
        return options_policy(run, learner)
    if goal:
        return Conditioned(learner, goal.task)
    if preference is not None and preference.given:
        return Preferred(learner, preference)
    return learner
