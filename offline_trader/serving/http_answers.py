"""What the server answers: shapes of its JSON, stated in ``/openapi.json``.

They are checked by the types of what makes an answer and by tests, never while one is made.
"""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic's, and older Pythons lack its own
)

from pydantic import Field
from typing_extensions import TypedDict

from offline_trader.serving.account import Hold
from offline_trader.serving.model_swap import Comparison
from offline_trader.serving.risk import State
from offline_trader.serving.risk_limits import RiskLimits
from offline_trader.simulator import SimulatorConfig

__all__ = [
    "AnswerTold",
    "BatchTold",
    "DecidedTold",
    "DeskTold",
    "DesksTold",
    "HealthTold",
    "LoadTold",
    "LoadedTold",
    "ModelsTold",
    "OrderTold",
    "ReadyTold",
    "RefusalTold",
    "ShadowTold",
    "SwapTold",
    "stated",
    "with_token",
]

_State = Annotated[str, Field(json_schema_extra={"enum": [str(each) for each in State]})]
_Hold = Annotated[str, Field(json_schema_extra={"enum": [str(each) for each in Hold]})]


class ErrorTold(TypedDict):
    """What was found, what was expected, and what to do; the last two may be empty."""

    found: str
    expected: str
    hint: str


class RefusalTold(TypedDict):
    """Why there is no answer; nothing is ordered."""

    error: ErrorTold


class PortfolioTold(TypedDict):
    """An account at a close, in quote currency; units are signed."""

    cash: float
    units: float
    equity: float


class OrderTold(TypedDict):
    """What may be ordered now; a market order has no limit price."""

    side: Literal["buy", "sell"]
    units: float
    type: Literal["market", "limit"]
    limit_price: float | None
    fill: str
    reference_price: float


class AnswerTold(TypedDict):
    """The decision at one bar; ``option`` is there for a model of options."""

    time: str
    action: float | None
    executed: float | None
    order: OrderTold | None
    hold: _Hold | None
    because: str
    reasons: list[str]
    risk_state: _State
    portfolio: PortfolioTold
    row: int
    model_sha256: str
    option: NotRequired[str]


class DecidedTold(TypedDict):
    """The decisions at the bars of a request, in their order."""

    instrument: str
    model_sha256: str
    answers: list[AnswerTold]


class BatchTold(TypedDict):
    """Of each request its answer, or why there is none."""

    results: list[DecidedTold | RefusalTold]


class DeskTold(TypedDict):
    """Where a desk stands; ``broken``: why its log cannot be written, empty where it can."""

    instrument: str
    bars_seen: int
    risk_state: _State
    reason: str
    broken: str
    portfolio: PortfolioTold


class DesksTold(TypedDict):
    """Every desk."""

    desks: list[DeskTold]


class LoadedTold(TypedDict):
    """A model that may be put in force."""

    file: str
    model_sha256: str
    layout_hash: str


class ModelTold(TypedDict):
    """The model in force at a desk, its rules, and the limits around it."""

    instrument: str
    model_sha256: str
    shadow_sha256: str
    layout_hash: str
    rules: SimulatorConfig
    limits: RiskLimits
    bars_per_year: float | None
    goal: NotRequired[float]


class ModelsTold(TypedDict):
    """The models of all desks, and what is loaded."""

    models: list[ModelTold]
    loaded: list[LoadedTold]


class LoadTold(TypedDict):
    """The model that was loaded, and all that are."""

    model_sha256: str
    loaded: list[LoadedTold]


class SwapTold(TypedDict):
    """The model in force now, and how it compares with the one before."""

    instrument: str
    model_sha256: str
    compared: Comparison


class ShadowTold(TypedDict):
    """The model in the shadow; empty: none."""

    instrument: str
    shadow_sha256: str


class HealthTold(TypedDict):
    """The process lives."""

    status: str
    version: str


class ReadyTold(TypedDict):
    """Whether every desk could order, and of each that could not why."""

    ready: bool
    stopped: dict[str, str]


_OPEN = {
    413: "The body is too large.",
    429: "Too many requests.",
    500: "The server made a mistake.",
}
_KNOWN = _OPEN | {401: "No valid token."}
_POSTED = _KNOWN | {
    400: "The body cannot be read.",
    411: "The body states no length.",
    422: "The request, or something in it, is not as it should be.",
    503: "Nothing can be ordered until a person has looked.",
}


def stated(shape: Any, *, posted: bool = False, is_open: bool = False) -> dict[int | str, Any]:
    """A route's answers as FastAPI takes them, which makes the schema of them and nothing else.

    Args:
        shape: of the answer with status 200; a text: the media type of one that is no JSON.
        posted: it takes a body.
        is_open: it needs no token.
    """
    errors = _POSTED if posted else _OPEN if is_open else _KNOWN
    refused: dict[int | str, Any] = {
        code: {"model": RefusalTold, "description": errors[code]} for code in sorted(errors)
    }
    good = {"content": {shape: {"schema": {"type": "string"}}}} if isinstance(shape, str) else None
    return {200: good or {"model": shape}, **refused}


def with_token(document: dict[str, Any]) -> None:
    """The OpenAPI document states the token of what answers without one with 401."""
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for methods in document["paths"].values():
        for operation in methods.values():
            if "401" not in operation["responses"]:
                operation["security"] = []
