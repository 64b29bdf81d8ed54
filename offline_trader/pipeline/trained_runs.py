"""Finished training runs as others use them: their facts checked, their policy compared and opened.

A run directory may be somebody else's. What it states is read as data: facts of another type are
refused with the file and the key, and the policy is opened only if its bytes are those that the
manifest states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from offline_trader.config import from_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.hashing import file_sha256
from offline_trader.runs import Run

if TYPE_CHECKING:
    from offline_trader.learning.agents import Learner

__all__ = [
    "POLICY_FILE",
    "finished_run",
    "passed_on",
    "policy_hash",
    "require_types",
    "trained_policy",
]

POLICY_FILE = "policy.d3"


@dataclass(frozen=True)
class _Manifest:
    """What a training run's manifest states of it; more is let be."""

    command: str
    seed: int
    config_hash: str
    data_hash: str
    parents: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class _Facts:
    """What a training run stores when it is done; more is let be."""

    layout: Mapping[str, Any]
    layout_hash: str
    env: EnvConfig
    validation_env: EnvConfig | None
    experts: tuple[Mapping[str, Any], ...]
    privileged: bool
    dataset: str
    policy_sha256: str = ""

    def __post_init__(self) -> None:
        for each in self.experts:
            rule = each.get("expert")
            if (
                not isinstance(rule, Mapping)
                or not isinstance(rule.get("name"), str)
                or not isinstance(rule.get("params"), Mapping)
            ):
                raise ConfigError("experts: a rule without name and params")


@dataclass(frozen=True)
class _Stage:
    """What a stage of training stores of the policy that it kept; more is let be."""

    updates: int
    kept: Literal["best", "warm_start", "last"]
    kept_step: int
    warm_score: float | None
    kept_score: float | None
    last_score: float | None


@dataclass(frozen=True)
class _PassedOn:
    """Settings of a training run that its child takes over."""

    learner: Mapping[str, Any]
    validation: Mapping[str, Any]
    seed: int
    dataset: str = ""
    threads: int = 1


def require_types(place: str, kind: type, tree: object) -> None:
    """Nothing if ``tree`` has the keys of dataclass ``kind``, each of its type; more is let be.

    Raises:
        DataError: a key that is missing or of another type; ``place`` and key are named.
    """
    wanted = {each.name for each in fields(kind)}
    if not isinstance(tree, Mapping):
        raise DataError(f"{place} is {str(tree)[:60]!r}", expected="a JSON object")
    try:
        from_dict(kind, {key: value for key, value in tree.items() if key in wanted})
    except ConfigError as error:
        raise DataError(
            f"{place}: {error.found}",
            expected=error.expected,
            hint="it was changed, or written by another version: make it again",
        ) from error


def finished_run(path: Path) -> Run:
    """The run at ``path``, which has a policy that fits this version's observations.

    Its policy is not opened.

    Raises:
        DataError: no run, one that is not finished, or one whose manifest lacks what a training
            states.
        SchemaMismatch: it was trained with another observation layout.
    """
    from offline_trader.features import observation_layout

    run, layout = Run.open(path), observation_layout()
    if run.status != "done" or not (path / POLICY_FILE).is_file():
        raise DataError(
            f"{path} has status {run.status!r} and no finished policy",
            expected="a finished run of pretrain or finetune",
            hint="finish it with --resume first",
        )
    require_types(str(path / "manifest.json"), _Manifest, run.manifest)
    place = f"{path / 'manifest.json'}: facts"
    require_types(place, _Facts, run.facts)
    for name in {"offline", "online"} & run.facts.keys():
        require_types(f"{place}: {name}", _Stage, run.facts[name])
    if run.facts["layout_hash"] != layout.hash:
        raise SchemaMismatch(
            f"{path} was trained with observation layout {run.facts['layout_hash']}",
            expected=f"layout {layout.hash}, which this version makes",
            hint="train it again, or use the version that made it",
        )
    if run.facts["layout"] != layout.to_dict():
        raise DataError(
            f"{path / 'manifest.json'}: facts: layout has other columns than its hash says",
            hint="the manifest was changed: take it from a copy, or train again",
        )
    return run


def passed_on(run: Run) -> dict[str, Any]:
    """Settings of ``run`` that a child takes over: learner, validation, seed, dataset, threads.

    Raises:
        DataError: its config.yaml is broken, or lacks one of them.
    """
    config = run.config()
    require_types(str(run.path / "config.yaml"), _PassedOn, config)
    usual = {"dataset": "", "threads": 1}
    return {each.name: config.get(each.name, usual.get(each.name)) for each in fields(_PassedOn)}


def policy_hash(run: Run, *, unverified: bool = False) -> str | None:
    """SHA-256 of the policy of ``run`` as its manifest states it, which is that of the file.

    Args:
        run: a finished run.
        unverified: None instead of an error where the manifest states no hash.

    Raises:
        DataError: the manifest states none, or another than the file's.
    """
    stated, file = run.facts.get("policy_sha256"), run.path / POLICY_FILE
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
    return str(stated)


def trained_policy(run: Run, *, unverified: bool = False) -> Learner:
    """The policy of a finished run, after its hash was compared.

    Raises:
        DataError: as :func:`policy_hash`, a file that is no d3rlpy model, or a policy of other
            observations than the run states.
    """
    from offline_trader.learning.agents import load_learner
    from offline_trader.types import ObservationLayout

    file = run.path / POLICY_FILE
    learner = load_learner(file, sha256=policy_hash(run, unverified=unverified))
    width = ObservationLayout.from_dict(run.facts["layout"]).size
    found = (len(learner.preprocessing.mean), learner.action_size)
    if found != (width, 1):
        raise DataError(
            f"{file} reads {found[0]} columns and answers {found[1]} actions",
            expected=f"{width} columns, as {run.path / 'manifest.json'} states, and one action",
        )
    return learner
