"""Reads an exported file's bytes: what it says of itself, and whether it is what was exported.

The facts that travel in an ONNX file are its top-level ``metadata_props``. They are read here
without onnxruntime, so that a damaged or foreign file is refused before anything computes, and so
that a dry run can know a model without opening it.

One of the facts is ``offline_trader.content_sha256``: SHA-256 of the whole file with 64 zeros in
the place of that hash. It tells damage and mix-ups; it is no signature, because whoever changes a
file on purpose can write the hash anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from offline_trader.codec import Facts, from_json, parse_json
from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.export.manifest import EXPORT_KIND, described, load_json
from offline_trader.goals import GoalTask, Preference
from offline_trader.hashing import bytes_sha256
from offline_trader.types import ObservationLayout

__all__ = [
    "CONTENT_HASH",
    "GOAL",
    "GOAL_INPUTS",
    "OPTIONS",
    "PREFERENCE",
    "PREFERENCE_INPUTS",
    "UNSTAMPED",
    "ModelFile",
    "OptionStates",
    "is_foreign",
    "read_model",
    "read_plain_graph",
    "stamp",
]

_OWN = "offline_trader."
CONTENT_HASH = "offline_trader.content_sha256"
UNSTAMPED = "0" * 64
GOAL = "offline_trader.goal"
OPTIONS = "offline_trader.options"
PREFERENCE = "offline_trader.preference"
GOAL_INPUTS = ("progress", "goal")
"""Inputs of the graph of a policy that takes a goal, behind ``observation``."""
PREFERENCE_INPUTS = ("preference",)
"""The same of a policy that takes a preference."""
_ENTRY = re.compile(re.escape(CONTENT_HASH.encode()) + rb"\x12\x40([0-9a-f]{64})")
_METADATA_FIELD, _LENGTH_DELIMITED = 14, 2
_EXTERNAL_DATA = 13
# The fields of ONNX's messages under which tensors lie, by what is there.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_FOREIGN = "an ONNX file written by `offline-trader export`"


@dataclass(frozen=True)
class OptionStates(Facts):
    """What a policy that chooses among options keeps of every lane from bar to bar.

    Attributes:
        names: of the options.
        columns: of a lane's state.
        initial: the state of a lane in which nothing runs yet.

    Raises:
        ConfigError: another number of columns than of values.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    initial: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.names or len(self.columns) != len(self.initial):
            raise ConfigError(
                f"{len(self.names)} options, {len(self.columns)} columns of a state and "
                f"{len(self.initial)} values",
                expected="options, and a value a column",
            )


@dataclass(frozen=True, eq=False)
class ModelFile:
    """An exported model, not yet opened.

    Attributes:
        path: where it was read from.
        payload: its bytes.
        layout: names and order of the observation's columns.
        scaler: ``{"mean": [F + P], "scale": [F + P]}`` as applied inside the graph; with columns
            of progress and goal, or of a preference, behind, where it takes one.
        metadata: the facts that the export stored.
        task: the goal that it takes, with its default; None: none.
        options: what it keeps of every lane, where it chooses among options; None: nothing.
        preference: the weights that it takes, with their default; None: none.
    """

    path: Path
    payload: bytes
    layout: ObservationLayout
    scaler: dict[str, list[float]]
    metadata: dict[str, Any]
    task: GoalTask | None = None
    options: OptionStates | None = None
    preference: Preference | None = None

    @property
    def further(self) -> dict[str, int]:
        """Widths of the graph's inputs behind ``observation``, by name, in order."""
        if self.preference is not None:
            return dict.fromkeys(PREFERENCE_INPUTS, len(self.preference.names))
        if self.task is None:
            return {}
        return dict(zip(GOAL_INPUTS, (len(self.task.progress), 1), strict=True))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the bytes."""
        return bytes_sha256(self.payload)


def stamp(payload: bytes) -> bytes:
    """``payload``, whose metadata hold zeros under :data:`CONTENT_HASH`, with its hash there."""
    (place,) = _ENTRY.finditer(payload)
    assert place[1] == UNSTAMPED.encode()
    start, stop = place.span(1)
    found = bytes_sha256(payload).encode()
    return payload[:start] + found + payload[stop:]


def read_model(path: Path | str | ModelFile, *, unverified: bool = False) -> ModelFile:
    """The file at ``path``, after its hash was compared.

    Args:
        path: the ``.onnx`` file; what was read already is handed back.
        unverified: accept a file that states no hash and has no manifest. A hash that is stated
            is compared all the same.

    Raises:
        DataError: no file, no exported model, facts of another type, other bytes than the file or
            its manifest states, or neither of them states any.
        SchemaMismatch: the columns do not give the layout hash that the file states.
    """
    if isinstance(path, ModelFile):
        return path
    path = Path(path)
    payload = _payload(path)
    properties = _properties(path, payload)
    if _reads_outside(path, payload):
        raise DataError(
            f"{path} reads weights from another file, which no hash covers", expected=_FOREIGN
        )
    stated = _compare_own(path, payload) | _compare_manifest(path, payload)
    if not stated and not unverified:
        raise _no_hash(path)
    layout, task = _layout(path, properties), _task(path, properties)
    preference = _preference(path, properties)
    further = len(task.progress) + 1 if task else 0
    further += len(preference.names) if preference else 0
    return ModelFile(
        path=path,
        payload=payload,
        layout=layout,
        scaler=_scaler(path, properties, layout.size + further),
        metadata=_mapping(path, properties, "offline_trader.metadata"),
        task=task,
        options=_options(path, properties),
        preference=preference,
    )


def is_foreign(path: Path | str) -> bool:
    """Whether the file is an ONNX model that says nothing that one of ours says.

    Raises:
        DataError: no file, or no ONNX model.
    """
    path = Path(path)
    return not any(name.startswith(_OWN) for name in _properties(path, _payload(path)))


def read_plain_graph(path: Path | str, *, unverified: bool = False) -> bytes:
    """The bytes of another program's ONNX model.

    Args:
        path: the file.
        unverified: the caller trusts where it is from, for it states no hash.

    Raises:
        DataError: no file, no ONNX model, weights in another file, or without ``unverified``.
    """
    path = Path(path)
    payload = _payload(path)
    _properties(path, payload)
    if _reads_outside(path, payload):
        raise DataError(f"{path} reads weights from another file", expected="a model in one file")
    if not unverified:
        raise _no_hash(path)
    return payload


def _payload(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(
            f"no file {path}", expected="an ONNX policy", hint="run `offline-trader export` first"
        )
    return path.read_bytes()


def _no_hash(path: Path) -> DataError:
    return DataError(
        f"{path} states no hash of its content, and no manifest beside it does",
        expected=_FOREIGN,
        hint="if you trust where it comes from, open it with --unverified "
        "(OnnxPolicy: unverified=True)",
    )


def _compare_own(path: Path, payload: bytes) -> bool:
    """Whether the file states its hash, which then is that of its bytes."""
    places = list(_ENTRY.finditer(payload))
    if len(places) != 1:
        return False
    start, stop = places[0].span(1)
    zeros = UNSTAMPED.encode()
    found = bytes_sha256(payload[:start] + zeros + payload[stop:])
    _require_equal(path, found, places[0][1].decode(), "as the file itself states")
    return True


def _compare_manifest(path: Path, payload: bytes) -> bool:
    """Whether a manifest beside the file describes it, whose hash then is that of its bytes."""
    manifest = path.parent / "manifest.json"
    if not manifest.is_file():
        return False
    content = load_json(manifest)
    model = described(content)
    if content.get("kind") != EXPORT_KIND or model.get("file") != path.name:
        return False
    found = bytes_sha256(payload)
    _require_equal(path, found, str(model.get("sha256")), f"as {manifest} states")
    return True


def _require_equal(path: Path, found: str, stated: str, where: str) -> None:
    if found != stated:
        raise DataError(
            f"{path} is not the file that was exported: its content hash is {found[:16]}…",
            expected=f"{stated[:16]}…, {where}",
            hint="the model was changed, damaged, or belongs to another manifest: take it from a "
            "copy, or export it again",
        )


def _properties(path: Path, payload: bytes) -> dict[str, str]:
    """The file's ``metadata_props``."""
    try:
        found: dict[str, str] = {}
        for field, value in _fields(payload):
            if field == _METADATA_FIELD:
                entry = dict(_fields(value))
                found[entry[1].decode()] = entry.get(2, b"").decode()
    except (IndexError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} cannot be opened: it is no ONNX file", expected=_FOREIGN
        ) from error
    return found


def _reads_outside(path: Path, payload: bytes) -> bool:
    """Whether a tensor of the model lies in another file."""

    def outside(message: bytes, kind: str) -> bool:
        if kind == "tensor":
            return any(field == _EXTERNAL_DATA for field, _ in _fields(message))
        known = _INSIDE[kind]
        return any(
            outside(part, known[field]) for field, part in _fields(message) if field in known
        )

    try:
        return outside(payload, "model")
    except (IndexError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be opened: it is no ONNX file", expected=_FOREIGN
        ) from error


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of a protobuf message's length-delimited fields, in order.

    Raises:
        ValueError, IndexError: not a protobuf message.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == _LENGTH_DELIMITED:
            length, place = _varint(message, place)
            if length > len(message) - place:
                raise ValueError("a field ends after its message")
            yield tag >> 3, message[place : place + length]
            place += length
        else:
            raise ValueError(f"wire type {kind}")
    if place != len(message):
        raise ValueError("a field ends after its message")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """The number at ``place`` and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number of more than ten bytes")


def _mapping(path: Path, properties: Mapping[str, str], name: str) -> dict[str, Any]:
    """The JSON object under ``name``."""
    if name not in properties:
        what = name.removeprefix("offline_trader.")
        shown = "observation layout" if what == "layout" else what
        raise DataError(f"{path} holds no {shown} ({name!r})", expected=_FOREIGN)
    try:
        value = parse_json(properties[name])
    except ValueError as error:
        raise DataError(f"{path}: {name} is not JSON ({error})", expected=_FOREIGN) from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: {name} is a {type(value).__name__}", expected="a JSON object")
    return value


def _layout(path: Path, properties: Mapping[str, str]) -> ObservationLayout:
    tree = _mapping(path, properties, "offline_trader.layout")
    layout = from_json(ObservationLayout, tree, f"{path}: the observation layout")
    stated = properties.get("offline_trader.layout_hash", "")
    if stated != layout.hash:
        raise SchemaMismatch(
            f"{path} states layout hash {stated[:12]} but its columns give {layout.hash[:12]}",
            hint="the file was changed after its export; export it again",
        )
    return layout


def _task(path: Path, properties: Mapping[str, str]) -> GoalTask | None:
    if GOAL not in properties:
        return None
    task = from_json(GoalTask, _mapping(path, properties, GOAL), f"{path}: the goal")
    if not task:
        raise DataError(f"{path}: {GOAL} is of kind {task.kind!r}", expected=_FOREIGN)
    return task


def _options(path: Path, properties: Mapping[str, str]) -> OptionStates | None:
    if OPTIONS not in properties:
        return None
    return from_json(OptionStates, _mapping(path, properties, OPTIONS), f"{path}: the options")


def _preference(path: Path, properties: Mapping[str, str]) -> Preference | None:
    if PREFERENCE not in properties:
        return None
    tree = _mapping(path, properties, PREFERENCE)
    found = from_json(Preference, tree, f"{path}: the preference")
    if not found.given or GOAL in properties:
        raise DataError(
            f"{path}: {PREFERENCE} is of a policy that takes none, or a goal", expected=_FOREIGN
        )
    return found


def _scaler(path: Path, properties: Mapping[str, str], size: int) -> dict[str, list[float]]:
    value = _mapping(path, properties, "offline_trader.scaler")
    for name in ("mean", "scale"):
        column = value.get(name)
        if (
            not isinstance(column, list)
            or len(column) != size
            or not all(type(each) in (int, float) and abs(each) < 1e38 for each in column)
        ):
            raise DataError(
                f"{path}: offline_trader.scaler has no {name} for every column",
                expected=f"{size} finite numbers",
            )
    return value
