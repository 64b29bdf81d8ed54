"""What ``evaluate`` can judge: a model, a run directory, ``expert:NAME``, a user's function."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.codec import from_json
from offline_trader.config import to_dict
from offline_trader.errors import ConfigError, DataError, OfflineTraderError
from offline_trader.hashing import file_sha256
from offline_trader.pipeline.found_strategy import FoundStrategy, last_day_seen
from offline_trader.pipeline.run_facts import (
    ModelFacts,
    TrainingManifest,
    latest_day,
)
from offline_trader.pipeline.trained_runs import (
    POLICY_FILE,
    acting_policy,
    finished_run,
    policy_hash,
)
from offline_trader.policies import MODEL_ENDINGS, PICKLE_ENDINGS

if TYPE_CHECKING:
    from offline_trader.envs import EnvConfig

__all__ = [
    "FoundStrategy",
    "last_day_seen",
    "model_name",
    "find_strategy",
    "require_bars",
    "source_experts",
]


def find_strategy(source: str, *, unverified: bool = False) -> FoundStrategy:
    """The strategy that ``source`` names. A model is read and compared, and not yet opened.

    Args:
        source: an ONNX file, a run directory, ``expert:NAME``, TorchScript, or ``file.py:function``
            (a policy, or what returns a model), which is imported.
        unverified: accept a model of which neither itself nor a manifest states a hash, as those
            of other programs.

    Raises:
        ConfigError: an unknown expert or function, or nothing of these kinds.
        DataError: a model or run that cannot be read, or whose bytes are others than stated.
        SchemaMismatch: a run of another observation layout.
    """
    if source.startswith("expert:"):
        from offline_trader.experts import parse_behaviour

        text = source.removeprefix("expert:")
        behaviour, _ = parse_behaviour(text)
        if behaviour.noise:
            raise ConfigError(f"{source} has noise", expected="an expert as it decides by itself")
        name, expert = text.partition("?")[0], behaviour.expert
        return FoundStrategy(_plain(name), lambda: expert, trial={"expert": text, "seed": 0})
    path = Path(source)
    if path.is_dir():
        from offline_trader.pipeline.seed_records import chosen_run

        return _from_run(chosen_run(path), unverified)
    if path.is_file() or path.suffix.lower() in (*MODEL_ENDINGS, *PICKLE_ENDINGS):
        return _from_file(path, unverified)
    if ":" in source:
        from offline_trader.pipeline.foreign_strategies import foreign_strategy, named_policy

        return foreign_strategy(named_policy(source))
    raise ConfigError(
        f"{source} is not there",
        expected="an ONNX file, a run directory, expert:NAME, or file.py:function",
        hint="offline-trader experts lists the experts",
    )


def _from_file(path: Path, unverified: bool) -> FoundStrategy:
    """A model: one of ours, or, where the user trusts it, one of another program."""
    from offline_trader.export import is_foreign

    others = {*MODEL_ENDINGS, *PICKLE_ENDINGS} - {".onnx"}
    foreign = path.suffix.lower() in others or (unverified and is_foreign(path))
    if not foreign:
        return _from_onnx(path, unverified)
    from offline_trader.pipeline.foreign_strategies import actor_file

    return actor_file(path, unverified=unverified)


def _from_onnx(path: Path, unverified: bool) -> FoundStrategy:
    from offline_trader.export import open_model, read_model

    file = read_model(path, unverified=unverified)
    facts = from_json(ModelFacts, file.metadata, f"{path}: metadata")
    experts, unasked = _asked(facts.experts)
    return FoundStrategy(
        name=model_name(path),
        opener=cache(lambda: open_model(file)),
        env=facts.env,
        seen_until=latest_day(facts.train_range, facts.validation_range),
        experts=experts,
        unasked=unasked,
        trial=_trial(facts, facts.policy_sha256),
        seed=facts.seed,
        facts=facts,
        history=facts.history,
        goal=facts.goal,
        preference=facts.preference,
    )


def _from_run(path: Path, unverified: bool) -> FoundStrategy:
    run = finished_run(path)
    facts, policy = run.facts, policy_hash(run, unverified=unverified)
    experts, unasked = _asked(source_experts(facts.experts))
    return FoundStrategy(
        name=_run_name(path),
        opener=cache(lambda: acting_policy(run, unverified=unverified)),
        env=to_dict(facts.env),
        seen_until=last_day_seen(facts.env, facts.validation_env),
        experts=experts,
        unasked=unasked,
        trial=_trial(run.manifest, policy or file_sha256(path / POLICY_FILE)),
        seed=run.manifest.seed,
        history=facts.history,
        goal=facts.goal,
        preference=facts.preference,
    )


def _run_name(path: Path) -> str:
    """A run's name; that of a seed's run with the folder of its seeds."""
    own = path.resolve()
    return f"{own.parent.name}-{own.name}" if re.fullmatch(r"seed-\d+", own.name) else own.name


def model_name(path: Path) -> str:
    """A model's name. Every export is called policy.onnx: such a one has the name of its run, or
    of its folder."""
    if path.stem != "policy":
        return path.stem
    folder = path.resolve().parent
    return _run_name(folder.parent if folder.name == "export" else folder) or path.stem


def _trial(made: ModelFacts | TrainingManifest, policy: str) -> dict[str, Any]:
    """What the ledger counts: the same for a run and for the model that was exported from it."""
    chosen = {"config_hash": made.config_hash, "command": made.command}
    return {**chosen, **({"policy": policy} if policy else {}), "seed": made.seed}


def source_experts(behaviours: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Texts of a dataset's experts with their parameters, each once, in order.

    A log is none of them: it says what was done on its own bars, not what to do on others.
    """
    from offline_trader.experts import expert_text

    rules = [one["expert"] for one in behaviours]
    texts = [expert_text(rule) for rule in rules if not str(rule["name"]).startswith("log:")]
    return tuple(dict.fromkeys(texts))


def _asked(experts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of a file's experts that are asked, and those that only their user may name.

    A rule in a file would be imported, and a log read, on the word of whoever wrote the model.
    """
    from offline_trader.experts import parse_behaviour

    kept, left = [], []
    for text in experts:
        if ":" in text.partition("?")[0]:
            left.append(text)
            continue
        try:
            parse_behaviour(text)
        except OfflineTraderError:  # an expert of another version
            continue
        kept.append(text)
    return tuple(kept), tuple(left)


def _plain(name: str) -> str:
    """An expert's name as that of a folder: ``rules/dips.py:decide`` → ``dips-decide``."""
    place, colon, rest = name.removeprefix("log:").rpartition(":")
    return f"{Path(place).stem}-{rest}" if colon else Path(rest).stem


def require_bars(env: EnvConfig, seen_until: str) -> None:
    """Nothing if there are bars to judge on, and their features can be computed.

    Args:
        env: market and dates of the evaluation.
        seen_until: last day that training saw; empty: not known.

    Raises:
        DataError: a file that is not there, or no bars after those that training saw.
        ConfigError: features of the user's own that he did not name.
    """
    from offline_trader.markets import load_markets, parse_source
    from offline_trader.tables.dates import parse_date, parse_end

    _ = env.layout
    for file in env.signal_files:
        if not Path(file).exists():
            raise DataError(
                f"{file}: no such file",
                expected="the file of signals; a model keeps its name, not its place",
                hint="name the file with --signal-file",
            )
    for source in env.market:
        kind, name, _ = parse_source(source)
        if kind == "file" and not Path(name).exists():
            raise DataError(
                f"{source}: no such file",
                expected="bars to judge on; a model keeps the name of its market, not its place",
                hint="name the file with --market",
            )
    if not seen_until or env.start is None or parse_date(env.start) < parse_end(seen_until):
        return
    for bars in load_markets(env.market, tz=env.tz):
        if bars.timestamps[-1] < parse_date(env.start):
            raise DataError(
                f"{bars.name} ends on {bars.timestamps[-1].astype('datetime64[D]')}, and training "
                f"saw bars until {seen_until}",
                expected=f"bars from {env.start} on",
                hint="keep bars back with collect --end, or look at bars that were seen by --start",
            )
