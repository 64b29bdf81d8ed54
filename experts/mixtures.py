"""Behaviours and mixtures: experts with noise, drawn by weight for every episode of a lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from offline_trader.config import names_code
from offline_trader.errors import ConfigError, OfflineTraderError
from offline_trader.experts.draws import stream_seed, uniform_draws
from offline_trader.experts.interface import Expert
from offline_trader.experts.noise import Noise, NoiseKind
from offline_trader.experts.registry import get_expert, parameters_of
from offline_trader.types import IntArray

__all__ = ["Behaviour", "Mixture", "expert_text", "mixture", "parse_behaviour"]

_GOLDEN_RATIO = (5**0.5 - 1.0) / 2.0


@dataclass(frozen=True)
class Behaviour:
    """An expert as it acts: with noise on its actions, in order.

    Attributes:
        expert: the rule.
        noise: applied one after another to the executed action.
        label: name in summaries.
    """

    expert: Expert
    noise: tuple[Noise, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.expert.name)

    @property
    def disturbances(self) -> tuple[Noise, ...]:
        """The expert's own exploration, then the noise."""
        if self.expert.exploration == 0.0:
            return self.noise
        return (Noise("epsilon", self.expert.exploration, seed=1), *self.noise)

    def to_dict(self) -> dict[str, object]:
        """JSON form."""
        noise = [one.to_dict() for one in self.noise]
        return {"label": self.label, "expert": self.expert.to_dict(), "noise": noise}


@dataclass(frozen=True)
class Mixture:
    """Behaviours with weights; every episode of every lane draws one.

    Attributes:
        behaviours: K behaviours.
        weights: K positive weights, normalised to sum to 1.
    """

    behaviours: tuple[Behaviour, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.behaviours or len(self.behaviours) != len(self.weights):
            raise ConfigError(
                f"{len(self.behaviours)} experts with {len(self.weights)} weights",
                expected="one positive weight for each of one or more experts",
            )
        bad = [w for w in self.weights if not (np.isfinite(w) and w > 0.0)]
        if bad:
            raise ConfigError(f"mixture weight {bad[0]}", expected="positive weights")
        total = sum(self.weights)
        object.__setattr__(self, "weights", tuple(w / total for w in self.weights))

    @property
    def privileged(self) -> bool:
        """Whether any expert reads the future."""
        return any(one.expert.privileged for one in self.behaviours)

    def draw(self, seed: int, lanes: IntArray, episodes: IntArray) -> IntArray:
        """Behaviour index [N] of the given episode of each lane.

        Lanes are spread by the golden ratio from a random offset for the episode, so the shares
        come close to the weights with few lanes too; a lane's draw needs no other lane.
        """
        offset = uniform_draws(stream_seed(seed, 77), np.zeros_like(lanes), episodes)
        spread = (offset + lanes * _GOLDEN_RATIO) % 1.0
        edges = np.cumsum(self.weights)[:-1]
        return np.searchsorted(edges, spread, side="right").astype(np.int64)

    def to_dict(self) -> list[dict[str, object]]:
        """JSON form: one entry a behaviour, with its weight."""
        pairs = zip(self.behaviours, self.weights, strict=True)
        return [{**one.to_dict(), "weight": weight} for one, weight in pairs]


def mixture(
    members: Sequence[Behaviour | Expert | str], weights: Sequence[float] | None = None
) -> Mixture:
    """A mixture of behaviours, experts or texts (:func:`parse_behaviour`).

    Args:
        members: at least one.
        weights: one a member; by default a text's ``weight``, else 1.

    Raises:
        ConfigError: unknown expert or setting, no member, a weight that is not positive.
    """
    parsed = [_member(member) for member in members]
    behaviours = tuple(one for one, _ in parsed)
    repeated = len({one.label for one in behaviours}) < len(behaviours)
    if repeated:
        behaviours = tuple(
            replace(one, label=f"{one.label}#{index}") for index, one in enumerate(behaviours)
        )
    own = tuple(weight for _, weight in parsed)
    return Mixture(behaviours, own if weights is None else tuple(map(float, weights)))


def parse_behaviour(text: str) -> tuple[Behaviour, float]:
    """Behaviour and weight from ``name?key=value&…``.

    Keys: ``weight``; ``gaussian``, ``epsilon``, ``sticky`` (scale of that noise) and
    ``noise_seed``; any parameter of the expert. The name is one of the registry,
    ``file.py:function`` or ``log:FILE``. Example: ``technical?weight=2&epsilon=0.05&large=0.8``.

    Raises:
        ConfigError: unknown expert, key or a value of the wrong type.
        DataError: a log that cannot be read.
    """
    name, _, query = text.partition("?")
    try:
        settings = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}", expected="name?key=value&key=value") from error
    weight = _number(text, "weight", settings.pop("weight", "1"))
    seed = _whole(text, "noise_seed", settings.pop("noise_seed", "0"))
    kinds: tuple[NoiseKind, ...] = ("gaussian", "epsilon", "sticky")
    noise = [
        Noise(kind, _number(text, kind, settings.pop(kind)), seed)
        for kind in kinds
        if kind in settings
    ]
    known = parameters_of(name)
    params = {key: _typed(text, key, value, known.get(key)) for key, value in settings.items()}
    return Behaviour(get_expert(name, **params), tuple(noise), label=text), weight


def expert_text(form: Mapping[str, Any]) -> str:
    """``name?key=value&…`` of an expert in :meth:`Expert.to_dict`'s form, without noise.

    Parameters at their present default are left out, but of a rule in a file all are named: the
    form may be somebody else's, so the file is not imported to ask for its defaults.
    """
    name, params = str(form["name"]), dict(form["params"])
    try:
        usual = {} if names_code(name) else parameters_of(name)
    except OfflineTraderError:  # an expert that this version does not know
        usual = {}
    changed = {key: value for key, value in params.items() if usual.get(key) != value}
    return f"{name}?{urlencode(changed)}" if changed else name


def _member(member: Behaviour | Expert | str) -> tuple[Behaviour, float]:
    if isinstance(member, str):
        return parse_behaviour(member)
    return (Behaviour(member) if isinstance(member, Expert) else member), 1.0


def _number(text: str, key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {key} = {value!r}", expected="a number") from error


def _whole(text: str, key: str, value: str) -> int:
    number = _number(text, key, value)
    if not number.is_integer():
        raise ConfigError(f"{text!r}: {key} = {value!r}", expected="a whole number")
    return int(number)


def _typed(text: str, key: str, value: str, default: object) -> object:
    """``value`` as the type of the parameter's default; unknown keys pass on to be refused."""
    if isinstance(default, bool):
        if value.lower() not in ("true", "false", "1", "0"):
            raise ConfigError(f"{text!r}: {key} = {value!r}", expected="true or false")
        return value.lower() in ("true", "1")
    if isinstance(default, int):
        return _whole(text, key, value)
    return _number(text, key, value) if isinstance(default, float) else value
