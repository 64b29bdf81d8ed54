"""What ``evaluate`` can judge: an ONNX file, a run directory, or ``expert:NAME``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.errors import ConfigError, DataError, OfflineTraderError, SchemaMismatch

if TYPE_CHECKING:
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.backtest import Subject
    from offline_trader.runs import Run

__all__ = [
    "Candidate",
    "finished_run",
    "last_day_seen",
    "model_name",
    "open_candidate",
    "require_bars",
    "source_experts",
]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A policy or an expert with what is known of its making.

    Attributes:
        name: for reports and folders.
        subject: what is evaluated.
        env: settings of its environment that it was trained in; empty: not known.
        seen_until: last day that its training or choice saw; empty: not known.
        experts: source experts to compare with, without noise.
        trial: what was chosen to get it, for the trial ledger.
        seed: of its training.
    """

    name: str
    subject: Subject
    env: Mapping[str, Any] = field(default_factory=dict)
    seen_until: str = ""
    experts: tuple[str, ...] = ()
    trial: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


def open_candidate(source: str) -> Candidate:
    """The candidate that ``source`` names.

    Raises:
        ConfigError: an unknown expert, or nothing of the three kinds.
        DataError: a model or run that cannot be read.
        SchemaMismatch: a run of another observation layout.
    """
    if source.startswith("expert:"):
        from offline_trader.experts import parse_behaviour

        text = source.removeprefix("expert:")
        behaviour, _ = parse_behaviour(text)
        if behaviour.noise:
            raise ConfigError(f"{source} has noise", expected="an expert as it decides by itself")
        name = text.partition("?")[0]
        return Candidate(_plain(name), behaviour.expert, trial={"expert": text, "seed": 0})
    path = Path(source)
    if path.is_dir():
        from offline_trader.cli.seeds import chosen_run

        return _from_run(chosen_run(path))
    if path.suffix == ".onnx" or path.is_file():
        return _from_onnx(path)
    raise ConfigError(
        f"{source} is not there",
        expected="an ONNX file, a run directory, or expert:NAME",
        hint="offline-trader experts lists the experts",
    )


def _from_onnx(path: Path) -> Candidate:
    from offline_trader.export import OnnxPolicy

    policy = OnnxPolicy(path)
    facts = policy.metadata
    env: dict[str, Any] = {}
    if "simulator" in facts:
        env = {name: facts.get(name) for name in ("market", "tz", "simulator")}
    return Candidate(
        name=model_name(path),
        subject=policy,
        env=env,
        seen_until=_latest(facts.get("train_range"), facts.get("validation_range")),
        experts=_usable(facts.get("experts", ())),
        trial=_trial(facts, facts.get("policy_sha256", "")),
        seed=int(facts.get("seed", 0)),
    )


def _from_run(path: Path) -> Candidate:
    from offline_trader.cli.phases import POLICY_FILE
    from offline_trader.export import sha256_of
    from offline_trader.learning.learner import load_learner

    run = finished_run(path)
    facts = run.facts
    return Candidate(
        name=_run_name(path),
        subject=load_learner(path / POLICY_FILE),
        env=facts["env"],
        seen_until=last_day_seen(facts["env"], facts["validation_env"]),
        experts=_usable(source_experts(facts["experts"])),
        trial=_trial(run.manifest, sha256_of(path / POLICY_FILE)),
        seed=int(run.manifest["seed"]),
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


def _trial(facts: Mapping[str, Any], policy: str) -> dict[str, Any]:
    """What the ledger counts: the same for a run and for the model that was exported from it."""
    chosen = {name: facts.get(name, "") for name in ("config_hash", "command")}
    return {**chosen, **({"policy": policy} if policy else {}), "seed": int(facts.get("seed", 0))}


def finished_run(path: Path) -> Run:
    """The run at ``path``, which has a policy that fits this version's observations.

    Raises:
        DataError: no run, or one that is not finished.
        SchemaMismatch: it was trained with another observation layout.
    """
    from offline_trader.cli.phases import POLICY_FILE
    from offline_trader.features import observation_layout
    from offline_trader.runs import Run

    run, layout = Run.open(path), observation_layout()
    if run.status != "done" or not (path / POLICY_FILE).is_file():
        raise DataError(
            f"{path} has status {run.status!r} and no finished policy",
            expected="a finished run of pretrain or finetune",
            hint="finish it with --resume first",
        )
    if run.facts["layout_hash"] != layout.hash:
        raise SchemaMismatch(
            f"{path} was trained with observation layout {run.facts['layout_hash']}",
            expected=f"layout {layout.hash}, which this version makes",
            hint="train it again, or use the version that made it",
        )
    return run


def source_experts(behaviours: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Texts of a dataset's experts with their parameters, each once, in order.

    A log is none of them: it says what was done on its own bars, not what to do on others.
    """
    from offline_trader.experts import expert_text

    rules = [one["expert"] for one in behaviours]
    texts = [expert_text(rule) for rule in rules if not str(rule["name"]).startswith("log:")]
    return tuple(dict.fromkeys(texts))


def _usable(experts: Iterable[str]) -> tuple[str, ...]:
    """Those that can be asked here: a rule of one's own needs its file."""
    from offline_trader.experts import parse_behaviour

    kept = []
    for text in experts:
        try:
            parse_behaviour(text)
        except OfflineTraderError:
            continue
        kept.append(text)
    return tuple(kept)


def _plain(name: str) -> str:
    """An expert's name as that of a folder: ``rules/dips.py:decide`` → ``dips-decide``."""
    place, colon, rest = name.removeprefix("log:").rpartition(":")
    return f"{Path(place).stem}-{rest}" if colon else Path(rest).stem


def last_day_seen(training: Mapping[str, Any], validation: Mapping[str, Any] | None) -> str:
    """Last day, ISO, that a training or the choice of its policy saw.

    Args:
        training: settings of its environment; without an end it saw all bars of its market.
        validation: settings of the one that the policy was chosen in, if there was one.

    Raises:
        DataError: bars without an end that cannot be read.
    """
    from offline_trader.markets import load_markets

    ends = [training["end"], (validation or {}).get("end")]
    if ends[0] is None:
        bars = load_markets(training["market"], tz=training.get("tz"))
        ends[0] = str(max(each.timestamps[-1] for each in bars).astype("datetime64[D]"))
    return _latest(*([None, end] for end in ends))


def require_bars(env: EnvConfig, seen_until: str) -> None:
    """Nothing if there are bars to judge on.

    Args:
        env: market and dates of the evaluation.
        seen_until: last day that training saw; empty: not known.

    Raises:
        DataError: a file that is not there, or no bars after those that training saw.
    """
    from offline_trader.markets import load_markets, parse_source
    from offline_trader.tables.dates import parse_date, parse_end

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


def _latest(*ranges: Any) -> str:
    """The last day, ISO, of the ranges' ends; empty where none has one."""
    import numpy as np

    from offline_trader.tables.dates import parse_end

    moments = [parse_end(each[1]) for each in ranges if each and each[1]]
    if not moments:
        return ""
    return str((max(moments) - np.timedelta64(1, "ns")).astype("datetime64[D]"))
