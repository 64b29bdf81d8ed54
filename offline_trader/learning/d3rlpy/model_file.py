"""Reads d3rlpy's ``.d3`` files without running anything that they hold.

A ``.d3`` file is a pickle of ``{"torch": bytes, "config": JSON text, "version": text}``, and a
pickle can name any function to be called while it is read. Texts, bytes and a dict need no name at
all, so the unpickler here refuses every one; the weights inside are read by
``torch.load(weights_only=True)``, which knows tensors, numbers, texts and containers alone.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import torch

from offline_trader.codec import parse_json
from offline_trader.errors import DataError
from offline_trader.hashing import bytes_sha256

__all__ = ["ModelFile", "read_model_file"]

_PARTS = {"torch": bytes, "config": str, "version": str}
_BYTES_A_WEIGHT = 4


@dataclass(frozen=True)
class ModelFile:
    """What a ``.d3`` file holds.

    Attributes:
        config: d3rlpy's settings with shapes, as JSON text.
        modules: state of every network and optimizer by name.
    """

    config: str
    modules: Mapping[str, Any]


def read_model_file(path: Path, device: str = "cpu", sha256: str | None = None) -> ModelFile:
    """The content of the ``.d3`` file at ``path``, its tensors on ``device``.

    Args:
        sha256: what the file's bytes have to hash to; None: any.

    Raises:
        DataError: no such file, other bytes than ``sha256`` says, a pickle that names something to
            call, or no d3rlpy model.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} is not a readable d3rlpy model: {error.strerror or error}"
        ) from error
    found = bytes_sha256(payload)
    if sha256 is not None and found != sha256:
        raise DataError(
            f"{path} has SHA-256 {found[:16]}…",
            expected=f"{sha256[:16]}…, as the manifest of its run states",
            hint="the file was changed or damaged after training: take it from a copy, or train "
            "again",
        )
    parts = _unpickled(path, payload)
    _require_room(path, parts["config"], len(payload))
    try:
        _require_stored(parts["torch"])
        modules = torch.load(io.BytesIO(parts["torch"]), map_location=device, weights_only=True)
    except Exception as error:  # torch raises what the bytes suggest
        raise DataError(
            f"{path} is not a readable d3rlpy model: its weights cannot be read "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
    if not isinstance(modules, dict):
        raise DataError(f"{path} is not a readable d3rlpy model: it holds no networks")
    return ModelFile(parts["config"], modules)


class _Refused(Exception):
    """A pickle that names something."""


class _TextsAndBytes(pickle.Unpickler):
    """An unpickler of what needs no name: texts, bytes, numbers and containers of them."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise _Refused(f"persistent {type(pid).__name__}")


def _require_stored(weights: bytes) -> None:
    """Refuse weights that would take more memory than the file: torch unpacks what is compressed.

    Raises:
        ValueError, BadZipFile: no zip of stored records, which is what torch writes.
    """
    with zipfile.ZipFile(io.BytesIO(weights)) as records:
        for record in records.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{record.filename} is compressed")


def _require_memory(payload: bytes) -> None:
    """Refuse a pickle that numbers its memory beyond its own length: a place is made for each.

    Raises:
        ValueError: such a number, or no pickle.
    """
    for operation, number, _ in pickletools.genops(payload):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(number or 0) > len(payload):
            raise ValueError(f"it asks for {number:,} places of memory")


def _unpickled(path: Path, payload: bytes) -> dict[str, Any]:
    try:
        _require_memory(payload)
        parts = _TextsAndBytes(io.BytesIO(payload)).load()
    except _Refused as error:
        raise DataError(
            f"{path} names {error} to be called, which a d3rlpy model does not",
            expected="a policy written by offline-trader or d3rlpy",
            hint="the file was made to run code when it is opened; nothing was run. Do not use it",
        ) from error
    except Exception as error:  # a pickle raises what the bytes suggest
        raise DataError(
            f"{path} is not a readable d3rlpy model: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(parts, dict) or not all(
        isinstance(parts.get(name), kind) for name, kind in _PARTS.items()
    ):
        raise DataError(
            f"{path} is not a readable d3rlpy model: a pickle of something else",
            expected=f"a dict of {', '.join(_PARTS)}",
        )
    return parts


def _require_room(path: Path, config: str, size: int) -> None:
    """Refuse networks larger than the file could hold, before memory is taken for them."""
    try:
        tree = parse_json(config)
        inputs = prod(int(each) for each in tree["observation_shape"]) + int(tree["action_size"])
        settings = tree["config"]["params"]
        critics = int(settings.get("n_critics", 1))
        needed = sum(
            (critics if name.startswith("critic") else 1)
            * _encoder_weights(inputs, factory["params"])
            for name, factory in settings.items()
            if name.endswith("encoder_factory")
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{path} is not a readable d3rlpy model: its settings are wrong: {error}"
        ) from error
    # the observation alone feeds an actor, so the inputs are counted a little high
    if inputs < 1 or critics < 0 or needed * _BYTES_A_WEIGHT > 2 * size:
        raise DataError(
            f"{path} states networks of {needed:,} weights in {size:,} bytes",
            expected="networks that the file holds",
            hint="the file was changed; take it from a copy",
        )


def _encoder_weights(inputs: int, params: Mapping[str, Any]) -> int:
    """Weights of an encoder of ``inputs`` columns."""
    hidden = [int(each) for each in params.get("hidden_units", [])]
    windows = params.get("windows", [])
    if not windows:
        return _weights([inputs, *hidden])
    # what the front makes of windows stands where the bars before the present one stood
    channels, bars, units = len(windows), len(windows[0]), max(hidden[0] // 2, 1)
    deeper = max((bars - 1).bit_length() - 1, 0)
    gru = params["kind"] == "gru"
    front = 3 * units * (channels + units) if gru else 2 * units * (channels + deeper * units)
    return front + _weights([inputs + units - channels * (bars - 1), *hidden])


def _weights(layers: list[int]) -> int:
    """Weights of the matrices between ``layers``; a size that is not positive counts as endless."""
    if min(layers) < 1:
        return 1 << 62
    return sum(a * b for a, b in pairwise(layers))
