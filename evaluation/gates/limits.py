"""Gates: limits set before the result is seen, as data that a user may change.

A gate passes, fails, or is not evaluable; it always says value, interval and n. Its value decides;
where the interval around it includes values that would fail, the row says so. Rates of trading
are judged where trading is free: with real costs the best policy trades on a few bars in a
hundred, and a gate on its trades would ask it to be worse.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from offline_trader.config.settings_yaml import settings_of
from offline_trader.errors import ConfigError, GateFailed, did_you_mean
from offline_trader.evaluation.gates.sources import SOURCES, GateInput, Measured
from offline_trader.evaluation.judging import Evaluation, GateRow

__all__ = ["Gate", "GateSet", "check_gates", "gate_summary", "load_gates", "require_gates"]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_PLACES = {
    "any": "",
    "zero_cost": "defined where trading is free; this evaluation has costs",
    "with_costs": "defined where trading costs; this evaluation has none",
}


@dataclass(frozen=True)
class Gate:
    """One gate; the fields are those of ``gates.yaml``, where they are explained.

    Raises:
        ConfigError: an unknown source, comparison or place, or a threshold that is no number.
    """

    name: str
    definition: str
    unit: str
    source: str
    comparison: str
    threshold: float | Mapping[int, float]
    where: str = "any"
    aim: float | None = None
    enabled: bool = True

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.source, SOURCES, "source"),
            (self.comparison, _OPERATORS, "pass"),
            (self.where, _PLACES, "where"),
        ):
            if not isinstance(value, str) or value not in known:
                raise _unknown(f"gate {self.name}: {what}", str(value), list(known))
        stages = self.threshold if isinstance(self.threshold, Mapping) else {1: self.threshold}
        if not stages or not all(_is_number(value) for value in stages.values()):
            raise ConfigError(
                f"gate {self.name}: threshold {self.threshold!r}", expected="a number"
            )
        if not all(_is_number(stage) and stage >= 1 for stage in stages):
            raise ConfigError(
                f"gate {self.name}: stages {', '.join(map(repr, stages))}",
                expected="whole numbers from 1, as in {1: 0.3, 2: 0.5}",
            )
        for text, what in ((self.definition, "definition"), (self.unit, "unit")):
            if not isinstance(text, str) or not text:
                raise ConfigError(f"gate {self.name}: {what} {text!r}", expected="a text")
        if self.aim is not None and not _is_number(self.aim):
            raise ConfigError(f"gate {self.name}: aim {self.aim!r}", expected="a number")
        if not isinstance(self.enabled, bool):
            raise ConfigError(f"gate {self.name}: enabled {self.enabled!r}", expected="true, false")

    def limit(self, stage: int) -> float:
        """The threshold at a stage; a stage beyond the last has the last one's."""
        if not isinstance(self.threshold, Mapping):
            return float(self.threshold)
        known = [number for number in sorted(self.threshold) if number <= stage]
        return float(self.threshold[known[-1] if known else min(self.threshold)])


@dataclass(frozen=True)
class GateSet:
    """The gates of one file, and the stage that is asked for."""

    gates: tuple[Gate, ...]
    stage: int = 1


def load_gates(path: Path | str | None = None, stage: int | None = None) -> GateSet:
    """The built-in gates, changed by a user's file where one is given.

    Args:
        path: YAML with the keys of ``gates.yaml``; what it leaves out keeps its built-in value.
        stage: overrides the file's stage.

    Raises:
        ConfigError: an unreadable file, or an unknown gate, key or value.
    """
    chosen = yaml.safe_load(
        (files("offline_trader.evaluation.gates") / "gates.yaml").read_text("utf-8")
    )
    known = list(chosen["gates"])
    if path is not None:
        own = _read(Path(path))
        chosen["stage"] = own.get("stage", chosen["stage"])
        changed = own.get("gates") or {}
        if not isinstance(changed, dict):
            raise ConfigError(f"{path}: gates is {changed!r}", expected="name: {threshold: number}")
        for name, changes in changed.items():
            if name not in chosen["gates"]:
                raise _unknown(f"{path}: gate", str(name), known)
            if not isinstance(changes, dict):
                raise ConfigError(f"{path}: gate {name} is {changes!r}", expected="key: value")
            chosen["gates"][name].update(changes)
    number = chosen["stage"] if stage is None else stage
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number < 2**63:
        raise ConfigError(f"stage {number!r}", expected="1 or more")
    gates = tuple(_gate(name, entry) for name, entry in chosen["gates"].items())
    return GateSet(gates, number)


def check_gates(
    evaluation: Evaluation,
    gates: GateSet | None = None,
    *,
    facts: Mapping[str, float] | None = None,
    zero_cost: Evaluation | None = None,
) -> tuple[GateRow, ...]:
    """Every enabled gate's row.

    Args:
        evaluation: of the policy, with its costs.
        gates: by default the built-in ones.
        facts: what the evaluation does not hold, by the names of
            :data:`~offline_trader.evaluation.gates.sources.GATE_FACTS`.
        zero_cost: of the same policy where trading is free; gates that are defined there are
            judged on it, and are not evaluable without it.
    """
    chosen = gates or load_gates()
    here = GateInput(evaluation, facts or {})
    free = here if zero_cost is None else GateInput(zero_cost, facts or {})
    return tuple(
        _checked(gate, free if gate.where == "zero_cost" else here, chosen.stage)
        for gate in chosen.gates
        if gate.enabled
    )


def gate_summary(rows: Sequence[GateRow]) -> dict[str, list[str]]:
    """Names of gates by verdict, for the model's manifest."""
    verdicts = ("pass", "fail", "not evaluable")
    return {verdict: [row.name for row in rows if row.verdict == verdict] for verdict in verdicts}


def require_gates(rows: Sequence[GateRow]) -> None:
    """Does nothing where no gate failed.

    Raises:
        GateFailed: names every gate that failed, with value and threshold.
    """
    failed = [row for row in rows if row.verdict == "fail"]
    if failed:
        listed = "; ".join(
            f"{row.name} {'not finite' if row.value is None else format(row.value, '.4g')} "
            f"({row.threshold})"
            for row in failed
        )
        raise GateFailed(
            f"{len(failed)} of {len(rows)} gates failed: {listed}",
            hint="see the gates of the report; thresholds can be changed with a file of your own",
        )


def _checked(gate: Gate, given: GateInput, stage: int) -> GateRow:
    limit = gate.limit(stage)
    threshold = f"{gate.comparison} {limit:g}"
    if gate.aim is not None:
        threshold += f", aim {gate.aim:g}"
    found, remark = _measured(gate, given), ""
    if found.value is None:
        verdict = "not evaluable"
    else:
        holds = _OPERATORS[gate.comparison]
        verdict = "pass" if holds(found.value, limit) else "fail"
        if verdict == "pass" and not all(holds(end, limit) for end in found.interval or ()):
            remark = "passes by its value: the interval includes values that would fail"
    return GateRow(
        name=gate.name,
        verdict=verdict,
        value=found.value,
        interval=found.interval,
        n=found.n,
        threshold=threshold,
        reason="; ".join(text for text in (remark, found.reason) if text),
        unit=gate.unit,
        definition=gate.definition,
    )


def _measured(gate: Gate, given: GateInput) -> Measured:
    if gate.where != "any":
        costs = given.costs_bps
        if costs is None:
            return Measured(None, reason="the costs of this result are not known")
        if (costs == 0) != (gate.where == "zero_cost"):
            return Measured(None, reason=_PLACES[gate.where])
    return SOURCES[gate.source](given)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _gate(name: str, entry: Mapping[str, Any]) -> Gate:
    keys = _keys()
    for key in entry:
        if key not in keys:
            raise _unknown(f"gate {name}: key", str(key), list(keys))
    return Gate(name=name, **{keys[key]: value for key, value in entry.items()})


@cache
def _keys() -> dict[str, str]:
    """Field of :class:`Gate` by its key in the file."""
    names = [field.name for field in fields(Gate) if field.name != "name"]
    return {"pass" if name == "comparison" else name: name for name in names}


def _read(path: Path) -> dict[str, Any]:
    try:
        own = settings_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no YAML: {error}") from error
    if not isinstance(own, dict):
        raise ConfigError(f"{path} holds no gates", expected="keys stage and gates")
    for key in own:
        if key not in ("stage", "gates"):
            raise _unknown(f"{path}: key", str(key), ["stage", "gates"])
    return own


def _unknown(what: str, found: str, known: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"{what} {found!r} is unknown",
        expected="one of " + ", ".join(known),
        hint=did_you_mean(found, known, cutoff=0.0),
    )
