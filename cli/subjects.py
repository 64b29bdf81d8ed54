"""What ``evaluate`` can judge: an ONNX file, a run directory, or ``expert:NAME``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.errors import ConfigError, DataError, OfflineTraderError, SchemaMismatch

if TYPE_CHECKING:
    from offline_trader.evaluation.backtest import Subject
    from offline_trader.runs import Run

__all__ = ["Candidate", "finished_run", "open_candidate", "source_experts"]


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
        return Candidate(_plain(name), behaviour.expert, trial={"expert": text})
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
        env = {"market": facts["market"], "simulator": facts["simulator"]}
    return Candidate(
        name=path.stem,
        subject=policy,
        env=env,
        seen_until=_last(facts.get("train_range"), facts.get("validation_range")),
        experts=_usable(facts.get("experts", ())),
        trial={"config_hash": facts.get("config_hash", ""), "command": facts.get("command", "")},
        seed=int(facts.get("seed", 0)),
    )


def _from_run(path: Path) -> Candidate:
    from offline_trader.cli.phases import POLICY_FILE
    from offline_trader.learning.learner import load_learner

    run = finished_run(path)
    facts = run.facts
    env, validation = facts["env"], facts["validation_env"] or {}
    return Candidate(
        name=path.name,
        subject=load_learner(path / POLICY_FILE),
        env=env,
        seen_until=_last([env["start"], env["end"]], [None, validation.get("end")]),
        experts=_usable(source_experts(facts["experts"])),
        trial={"config_hash": run.manifest["config_hash"], "command": run.manifest["command"]},
        seed=int(run.manifest["seed"]),
    )


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


def _last(*ranges: Any) -> str:
    """The latest end of the ranges; empty where none has one."""
    ends = [str(each[1]) for each in ranges if each and each[1]]
    return max(ends, default="")
