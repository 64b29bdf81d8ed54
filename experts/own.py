"""Rules of the user's own: a function in a Python file or module as an expert."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, field, make_dataclass
from typing import Any, cast

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.experts.interface import Columns, Decision, Expert, ExpertParams, ExpertSpace
from offline_trader.types import FloatArray
from offline_trader.user_code import code_sha256, find_function, guarded

__all__ = ["own_expert"]

_SPACES = ("order", "target")
_TYPES = (bool, int, float, str)
_SIGNATURE = "function(features, portfolio, threshold=0.5, …)"


def own_expert(path: str, **params: object) -> Expert:
    """The expert that the function at ``path`` is.

    The function gets the features and the portfolio of N lanes as named columns [N] and returns
    N numbers, orders in [−1, 1] unless its parameter ``space`` defaults to, or is set to,
    ``target`` (target weights). Its further parameters with a number, text or truth value as
    default are the expert's. It is pure: row n of the result reads row n of the columns only.

    Args:
        path: ``file.py:function`` or ``module:function``.
        params: over the function's defaults.

    Raises:
        ConfigError: no such function, one with other parameters, an unknown space.
    """
    function = find_function(path)
    defaults = _defaults(function, path)
    fields = [(name, type(value), field(default=value)) for name, value in defaults.items()]
    kind = make_dataclass("OwnParams", fields, bases=(ExpertParams,), frozen=True)
    chosen = kind(**params)
    space = getattr(chosen, "space", "order")
    if space not in _SPACES:
        raise ConfigError(f"{path}: space = {space!r}", expected=" or ".join(_SPACES))
    return Expert(
        name=path,
        summary=(inspect.getdoc(function) or "a rule of your own").splitlines()[0],
        decide=_decision(function, path),
        params=chosen,
        space=cast("ExpertSpace", space),
        sha256=code_sha256(function),
    )


def _defaults(function: Callable[..., Any], path: str) -> dict[str, object]:
    """Default of every parameter behind the first two."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise ConfigError(f"{path} is no plain function", expected=_SIGNATURE) from None
    first, rest = parameters[:2], parameters[2:]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(first) < 2 or any(one.kind not in positional for one in first):
        listed = ", ".join(one.name for one in parameters) or "no parameters"
        raise ConfigError(f"{path} takes {listed}", expected=_SIGNATURE)
    unfit = [one.name for one in rest if type(one.default) not in _TYPES]
    if unfit:
        raise ConfigError(
            f"{path}: parameter {unfit[0]!r} has no default that is a number, a text or a truth "
            "value",
            expected=_SIGNATURE,
        )
    return {one.name: one.default for one in rest}


def _decision(function: Callable[..., Any], path: str) -> Decision:
    def numbers(*columns: Columns, **settings: Any) -> FloatArray:
        return np.asarray(function(*columns, **settings), dtype=np.float64)

    rule = guarded(path, numbers)

    def decide(features: Columns, portfolio: Columns, params: Any) -> FloatArray:
        return _checked(rule(features, portfolio, **asdict(params)), features.rows, path)

    return decide


def _checked(found: FloatArray, rows: int, path: str) -> FloatArray:
    if found.shape == (rows, 1):
        found = found[:, 0]
    if found.shape != (rows,):
        raise ConfigError(
            f"{path} returned an array of shape {found.shape} for {rows} lanes",
            expected=f"({rows},): one number for each row of the columns",
            hint="use array code, such as numpy.where, on the whole columns",
        )
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise ConfigError(f"{path} returned {found[row]} for row {row}", expected="finite numbers")
    return found
