"""New datasets out of collected ones: some of one's episodes, or all of several.

What comes out is a dataset like any other: the same arrays, the same metadata, checksums of its
own. Its ``identity`` names the datasets that it was made of, by their checksums, and the rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader import __version__
from offline_trader.codec import plain
from offline_trader.datasets import checksums
from offline_trader.datasets.catalog import (
    check_dataset_id,
    dataset_facts,
    dataset_metadata,
    dataset_path,
    datasets_root,
)
from offline_trader.datasets.episodes import MAIN_FILE, Episode, guarded, read_episodes
from offline_trader.datasets.facts import METADATA_KEY, DatasetFacts
from offline_trader.datasets.minari_files import DatasetWriter
from offline_trader.datasets.replacing import dataset_lock
from offline_trader.datasets.rollout import INFO_NAMES, Part
from offline_trader.datasets.scores import reference_range
from offline_trader.errors import ConfigError, DataError
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = ["EpisodeTable", "StoredEpisode", "episode_table", "filter_dataset", "merge_datasets"]

Keep = Callable[["EpisodeTable"], BoolArray]
_MAIN = ("observations", "actions", "rewards", "terminations", "truncations")
_INFOS = tuple(f"infos/{name}" for name in INFO_NAMES)
_STEPS_AT_ONCE = 100_000


@dataclass(frozen=True)
class StoredEpisode:
    """One episode and who acted in it.

    Attributes:
        number: in the dataset.
        behaviour: index in the dataset's experts.
        arrays: as stored, infos as ``infos/NAME`` with one row more than steps.
    """

    number: int
    behaviour: int
    arrays: Episode


@dataclass(frozen=True, eq=False)
class EpisodeTable:
    """A row for each of E episodes.

    Attributes:
        labels: the experts, by index.
        behaviours: [E] who acted.
        steps: [E] how long.
        returns: [E] sum of rewards, log growth of equity.
        trades: [E] filled orders.
        verdicts: [E] what was asked for with ``judge``; else empty tuples.
    """

    labels: tuple[str, ...]
    behaviours: IntArray
    steps: IntArray
    returns: FloatArray
    trades: IntArray
    verdicts: tuple[tuple[str, ...], ...]


def episode_table(
    dataset_id: str,
    root: Path | None = None,
    *,
    judge: Callable[[Episode], Sequence[str]] | None = None,
) -> EpisodeTable:
    """Who acted how long with which return in every episode.

    Args:
        dataset_id: a dataset of this toolkit.
        root: folder of all datasets; by default where Minari looks.
        judge: verdicts on the arrays of an episode.

    Raises:
        DataError: no such dataset, one of something else, or files that are not as published.
    """
    facts, rows, verdicts = dataset_facts(dataset_id, root), [], []
    for one in _episodes(dataset_id, root, len(facts.experts)):
        filled = one.arrays["infos/fill_units"][1:] != 0.0
        steps, total = len(one.arrays["rewards"]), float(one.arrays["rewards"].sum())
        rows.append((one.behaviour, steps, total, int(filled.sum())))
        verdicts.append(tuple(judge(one.arrays)) if judge is not None else ())
    behaviours, steps_, returns, trades = (np.array(column) for column in zip(*rows, strict=True))
    labels = tuple(str(one.get("label", "?")) for one in facts.experts)
    return EpisodeTable(labels, behaviours, steps_, returns, trades, tuple(verdicts))


def filter_dataset(
    source: str,
    target: str,
    keep: BoolArray,
    rule: Mapping[str, Any],
    *,
    root: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Make ``target`` of the episodes of ``source`` where ``keep`` [E] holds, in their order.

    Its experts are those who act in one of them: others are not asked on its word, and a teacher
    that reads the future leaves no mark on episodes that are not his.

    Args:
        source, target: ids.
        keep: [E].
        rule: how they were chosen, kept in the new dataset's identity.
        root: folder of all datasets.
        overwrite: replace ``target``.

    Raises:
        ConfigError: nothing is kept, or ``target`` exists or is ``source``.
        DataError: ``source`` cannot be read.
    """
    facts = dataset_facts(source, root)
    if not keep.any():
        raise ConfigError(
            f"no episode of {source} is left",
            expected="at least one",
            hint="loosen the conditions; datasets show lists the experts and their returns",
        )
    owners = _known_owners(source, root, len(facts.experts))
    acting = sorted({owner for owner, kept in zip(owners, keep, strict=True) if kept})
    chosen = (
        replace(one, behaviour=acting.index(one.behaviour))
        for one in _episodes(source, root, len(facts.experts))
        if keep[one.number]
    )
    identity = {"filtered": _origin(source, root), "rule": dict(rule)}
    left = _with_experts(facts, [facts.experts[i] for i in acting])
    return _write(target, (source,), chosen, left, identity, root, overwrite=overwrite)


def merge_datasets(
    sources: Sequence[str], target: str, *, root: Path | None = None, overwrite: bool = False
) -> Path:
    """Make ``target`` of all episodes of ``sources``, one dataset after another.

    They must have been collected on the same bars under the same rules, as by other experts or
    seeds; reference scores are those of the first.

    Raises:
        ConfigError: fewer than two, one twice, or ``target`` exists or is one of them.
        DataError: one cannot be read, or differs from the first in layout, bars or rules.
    """
    if len(sources) < 2 or len(set(sources)) < len(sources):
        expected = "at least two datasets, each once"
        raise ConfigError(f"merging {', '.join(sources)}", expected=expected)
    facts = [dataset_facts(source, root) for source in sources]
    for source, other in zip(sources[1:], facts[1:], strict=True):
        _require_equal(sources[0], facts[0], source, other)
    experts: list[Mapping[str, Any]] = []
    rules: list[Mapping[str, Any]] = []
    numbers: list[list[int]] = []
    for one in facts:
        own = [{key: expert[key] for key in expert if key != "weight"} for expert in one.experts]
        fresh = [i for i, rule in enumerate(own) if rule not in rules]
        experts += [one.experts[i] for i in fresh]
        rules += [own[i] for i in fresh]
        numbers.append([rules.index(rule) for rule in own])
    chosen = (
        replace(episode, behaviour=index[episode.behaviour])
        for source, index in zip(sources, numbers, strict=True)
        for episode in _episodes(source, root, len(index))
    )
    merged = replace(
        facts[0],
        experts=tuple(experts),
        seeds={source: dict(one.seeds) for source, one in zip(sources, facts, strict=True)},
        privileged=any(one.privileged for one in facts),
    )
    identity = {"merged": [_origin(source, root) for source in sources]}
    return _write(target, tuple(sources), chosen, merged, identity, root, overwrite=overwrite)


def _with_experts(facts: DatasetFacts, experts: Sequence[Mapping[str, Any]]) -> DatasetFacts:
    """``facts`` of episodes of these experts alone."""
    unclear = facts.privileged  # of an expert of whom nothing is stated
    privileged = any(one["expert"].get("privileged", unclear) for one in experts)
    left = replace(facts, experts=tuple(experts), privileged=privileged)
    if privileged == facts.privileged:
        return left
    low, high = reference_range(dict(facts.expert_scores), privileged=privileged)
    return replace(left, ref_min_score=low, ref_max_score=high)


def _require_equal(first: str, mine: DatasetFacts, second: str, other: DatasetFacts) -> None:
    rules = [replace(one.env_config, market=("",), start=None, end=None) for one in (mine, other)]
    differing = [
        name
        for name, same in (
            ("layout", mine.layout_hash == other.layout_hash),
            ("bars", dict(mine.market_sha256) == dict(other.market_sha256)),
            ("range of bars", dict(mine.train_range) == dict(other.train_range)),
            ("rules", rules[0] == rules[1]),
        )
        if not same
    ]
    if differing:
        raise DataError(
            f"{second} and {first} differ in {', '.join(differing)}",
            expected="collections on the same bars under the same rules",
            hint="collect takes several markets at once: --market A --market B",
        )


def _origin(dataset_id: str, root: Path | None) -> dict[str, str]:
    sums = dataset_path(dataset_id, root) / "data" / checksums.SUMS_FILE
    return {"dataset": dataset_id, "sha256": hashlib.sha256(sums.read_bytes()).hexdigest()}


def _episodes(dataset_id: str, root: Path | None, experts: int) -> Iterator[StoredEpisode]:
    """Every episode with all its arrays, compared with the checksums; ``experts``: how many."""
    data = dataset_path(dataset_id, root) / "data"
    metadata = dataset_metadata(dataset_id, root)
    owners = _known_owners(dataset_id, root, experts)
    found = read_episodes(data, metadata, _MAIN + _INFOS, verify=True)
    for number, (owner, arrays) in enumerate(zip(owners, found, strict=True)):
        yield StoredEpisode(number, owner, arrays)


def _known_owners(dataset_id: str, root: Path | None, experts: int) -> list[int]:
    """Who acted in every episode, as an index of the dataset's ``experts``: how many.

    Raises:
        DataError: no episodes, or one whose expert is not known.
    """
    file = dataset_path(dataset_id, root) / "data" / MAIN_FILE
    episodes = dataset_metadata(dataset_id, root)["total_episodes"]
    owners = list(guarded(_owners(file, episodes), file))
    if not owners:
        raise DataError(f"dataset {dataset_id!r} holds no episodes", expected="one or more")
    if any(not 0 <= owner < experts for owner in owners):
        raise DataError(
            f"{file}: an episode names none of the {experts} experts",
            expected="a dataset made by offline-trader collect",
        )
    return owners


def _owners(path: Path, episodes: int) -> Iterator[int]:
    """Who acted in every episode, -1 where nobody is named."""
    import h5py

    with h5py.File(path, "r") as file:
        for number in range(episodes):
            yield int(file[f"episode_{number}"].attrs.get("behaviour", -1))


def _write(
    target: str,
    sources: tuple[str, ...],
    chosen: Iterator[StoredEpisode],
    facts: DatasetFacts,
    identity: Mapping[str, Any],
    root: Path | None,
    *,
    overwrite: bool,
) -> Path:
    from gymnasium.envs.registration import EnvSpec
    from minari.dataset.minari_storage import MinariStorage

    check_dataset_id(target)
    base = datasets_root(root)
    if target in sources or ((base / target).exists() and not overwrite):
        raise ConfigError(
            f"dataset {target!r} exists in {base}",
            expected="an id of its own",
            hint="another version, as in name-v1"
            + ("" if target in sources else ", or --overwrite"),
        )
    own = replace(facts, identity={**identity, "version": __version__})
    origin = dataset_metadata(sources[0], root)
    kept = ("requirements", "num_episodes_average_score")
    metadata: dict[str, Any] = {
        METADATA_KEY: plain(own),
        "ref_min_score": own.ref_min_score,
        "ref_max_score": own.ref_max_score,
        "algorithm_name": " + ".join(str(one.get("label", "?")) for one in own.experts),
        "description": f"Made of {', '.join(sources)}: "
        + ("merged." if len(sources) > 1 else f"episodes where {plain(identity['rule'])}."),
        **{key: origin[key] for key in kept if key in origin},
    }
    storage = MinariStorage.read(dataset_path(sources[0], root) / "data")
    spaces = (storage.observation_space, storage.action_space)
    spec = EnvSpec.from_json(str(origin["env_spec"]))
    with dataset_lock(base, target), DatasetWriter(base, target, spaces, spec) as writer:
        for part in _parts(chosen):
            writer.append(part)
        writer.publish(metadata, overwrite=overwrite)
    return base / target


def _parts(chosen: Iterator[StoredEpisode]) -> Iterator[Part]:
    """The episodes as parts of some 100,000 steps."""
    waiting: list[StoredEpisode] = []
    steps = 0
    for one in chosen:
        waiting.append(one)
        steps += len(one.arrays["rewards"])
        if steps >= _STEPS_AT_ONCE:
            yield _part(waiting)
            waiting, steps = [], 0
    if waiting:
        yield _part(waiting)


def _part(episodes: Sequence[StoredEpisode]) -> Part:
    def joined(name: str) -> np.ndarray:
        return np.concatenate([one.arrays[name] for one in episodes])

    return Part(
        lengths=np.array([len(one.arrays["rewards"]) for one in episodes]),
        **{name: joined(name) for name in _MAIN},
        behaviours=np.array([one.behaviour for one in episodes]),
        infos={name: joined(f"infos/{name}") for name in INFO_NAMES},
    )
