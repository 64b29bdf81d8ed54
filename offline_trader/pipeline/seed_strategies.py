"""What ``evaluate`` was told to judge: one policy, or the seeds of one configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offline_trader.config import flat, to_dict
from offline_trader.errors import ConfigError
from offline_trader.pipeline.seed_records import SEEDS_FILE, read_seeds
from offline_trader.pipeline.strategies import FoundStrategy, find_strategy
from offline_trader.pipeline.trained_runs import POLICY_FILE

__all__ = ["find_strategies", "seed_folders", "study_name", "validated_seed"]

# A seed's run may read its own dataset and start from its own parent; the rest has to be the same.
_OWN = ("seed", "dataset", "parent")


def seed_folders(folder: Path) -> list[Path]:
    """``folder``'s run directories ``seed-0``, ``seed-1`` …, by number."""
    found = [
        (int(match[1]), each)
        for each in (folder.iterdir() if folder.is_dir() else ())
        if (match := re.fullmatch(r"seed-(\d+)", each.name)) and each.is_dir()
    ]
    return [each for _, each in sorted(found)]


def find_strategies(
    sources: Sequence[str], *, as_seeds: bool, unverified: bool = False
) -> list[FoundStrategy]:
    """One strategy, or one a seed.

    Args:
        sources: what was named. A folder of ``seed-0``, ``seed-1`` … stands for these.
        as_seeds: several sources are seeds of one configuration.
        unverified: see :func:`find_strategy`.

    Raises:
        ConfigError: several without ``as_seeds``, one where seeds are wanted, or seeds that
            differ in more than the seed.
        DataError: a model or run that cannot be read.
    """
    paths: list[str] = []
    for source in sources:
        inside = seed_folders(Path(source))
        whole = not inside or (Path(source) / POLICY_FILE).is_file()
        paths += [source] if whole else [str(each) for each in inside]
    if len(sources) > 1 and not as_seeds:
        raise ConfigError(
            f"{len(sources)} policies",
            expected="one; or --as-seeds, if they are seeds of one configuration",
            hint="offline-trader compare puts evaluations of different ones side by side",
        )
    if as_seeds and len(paths) < 2:
        raise ConfigError(
            f"{paths[0]} alone with --as-seeds",
            expected="two or more runs, or a folder of seed-0, seed-1, …",
            hint="offline-trader pretrain --seeds 3 trains three",
        )
    if len(paths) > 1 and any(path.startswith("expert:") for path in paths):
        raise ConfigError(
            "experts with --as-seeds",
            expected="runs or ONNX files: experts do not depend on a seed",
        )
    found = [find_strategy(path, unverified=unverified) for path in paths]
    if len(found) > 1:
        _require_one_configuration(paths, found)
    return found


def study_name(sources: Sequence[str]) -> str:
    """A folder's name for the seeds together."""
    return Path(sources[0]).stem + ("" if len(sources) == 1 else "-seeds")


def validated_seed(sources: Sequence[str]) -> int | None:
    """The seed that validation chose in a folder of seeds; None where none did.

    Raises:
        DataError: its ``seeds.json`` cannot be read.
    """
    folder = Path(sources[0])
    if len(sources) > 1 or not (folder / SEEDS_FILE).is_file():
        return None
    best = read_seeds(folder).best
    return None if best is None else best.seed


def _require_one_configuration(paths: Sequence[str], found: Sequence[FoundStrategy]) -> None:
    first = _settings(paths[0], found[0])
    for path, strategy in zip(paths[1:], found[1:], strict=True):
        other = _settings(path, strategy)
        names = [k for k in {**first, **other} if first.get(k) != other.get(k)]
        if names:
            name = names[0]
            raise ConfigError(
                f"{paths[0]} and {path} differ in {name}: {first.get(name)!r} and "
                f"{other.get(name)!r}",
                expected="runs that differ in their seed only",
                hint="offline-trader compare puts different configurations side by side",
            )


def _settings(path: str, strategy: FoundStrategy) -> dict[str, Any]:
    """Settings by dotted key: all of a run's; of an ONNX file what it tells of its training."""
    if not Path(path).is_dir():
        facts = {} if strategy.facts is None else to_dict(strategy.facts)
        kept = ("command", "market", "simulator", "train_range", "experts")
        return flat({name: facts.get(name) for name in kept})
    from offline_trader.runs import Run

    run = Run.open(Path(path))
    settings = {k: v for k, v in run.config().items() if k not in _OWN}
    return {"command": run.manifest["command"], **flat(settings)}
