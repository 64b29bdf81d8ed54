"""Actors in files of other programs: plain ONNX and TorchScript."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from offline_trader.errors import ConfigError, DataError
from offline_trader.export import ModelSession, read_plain_graph
from offline_trader.hashing import file_sha256
from offline_trader.policies.foreign import (
    MODEL_ENDINGS,
    PICKLE_ENDINGS,
    ForeignPolicy,
    Graph,
)
from offline_trader.types import Observations

__all__ = ["open_actor"]

_REACHES_OUT = re.compile(
    r"\b(?:torch\.(?:from_file|save)|__setstate__|ops\.(?!prim\.|aten\.)\w+|torch\.classes)\b"
)
"""What of TorchScript reads or writes files, runs while it is loaded, or calls other libraries."""
_EXPECTED = "an ONNX file or a TorchScript archive of an actor"


def open_actor(path: Path | str, *, unverified: bool = False) -> ForeignPolicy:
    """The actor in a file: raw observations [N, O] to actions [N, 1].

    Args:
        path: ONNX, or what ``torch.jit.save`` wrote. Pickles are not opened.
        unverified: the caller trusts where the file is from. No hash can tell, and TorchScript is a
            program: it runs in an interpreter of its own, which ours cannot confine.

    Raises:
        DataError: no such file, a damaged one, or without ``unverified``.
        ConfigError: a pickle, or another kind of file.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending in PICKLE_ENDINGS:
        raise ConfigError(
            f"{path} is a pickle, which can run any code while it is opened",
            expected=_EXPECTED,
            hint="load it with its own library in a function that returns the model, and name that "
            "as my_policies.py:load",
        )
    if ending not in MODEL_ENDINGS:
        raise ConfigError(f"{path} is no model that is known by its ending", expected=_EXPECTED)
    if ending == ".onnx":
        return _from_onnx(path, unverified)
    return _from_script(path, unverified)


def _from_onnx(path: Path, unverified: bool) -> ForeignPolicy:
    payload = read_plain_graph(path, unverified=unverified)
    session = ModelSession(payload, str(path))
    given, made = session.inputs(), session.outputs()
    shape = given[0].shape if len(given) == 1 else []
    if len(shape) != 2 or given[0].type != "tensor(float)" or shape[0] not in (1, *_free(shape)):
        listed = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in given)
        raise DataError(
            f"{path} has inputs {listed}",
            expected="one, tensor(float) of shape [N, O] with N free",
            hint="export the actor alone, with a dynamic batch",
        )
    name, answer = given[0].name, made[0].name
    width = shape[1] if isinstance(shape[1], int) else None

    def decide(observations: Observations) -> Any:
        import numpy as np

        if shape[0] != 1:
            return session.run([answer], {name: observations})[0]
        rows = [observations[i : i + 1] for i in range(len(observations))]
        return np.concatenate([session.run([answer], {name: row})[0] for row in rows])

    def graph() -> Graph:
        import onnx

        return Graph(onnx.load_from_string(payload))

    return ForeignPolicy(path.stem, "ONNX", decide, width, graph, file_sha256(path))


def _free(shape: list[Any]) -> list[Any]:
    """The first dimension, if it is free."""
    return [] if isinstance(shape[0], int) else [shape[0]]


def _from_script(path: Path, unverified: bool) -> ForeignPolicy:
    _require_harmless(path)
    if not unverified:
        raise DataError(
            f"{path} is a program of TorchScript, and no hash says whose",
            expected="an ONNX file, which only computes",
            hint="if you trust where it comes from, open it with --unverified",
        )
    from offline_trader.policies.torch_modules import from_torch, load_script

    try:
        module = load_script(path)
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be opened: {str(error).strip().splitlines()[0]}", expected=_EXPECTED
        ) from error
    return from_torch(module, path.stem, file_sha256(path))


def _require_harmless(path: Path) -> None:
    """Refuse an archive without code (a pickle) and one whose code reaches out of itself.

    Raises:
        DataError: no such file, no archive, or such code.
    """
    if not path.is_file():
        raise DataError(f"no file {path}", expected=_EXPECTED)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if re.search(r"(^|/)code/.*\.py$", name)]
            texts = [archive.read(name).decode("utf-8", "replace") for name in names]
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is no TorchScript archive: {error}", expected=_EXPECTED) from error
    if not texts:
        raise DataError(
            f"{path} is a pickle of torch, which can run any code while it is opened",
            expected="what torch.jit.save wrote",
            hint="load it in a function of your own that returns the module, and name that as "
            "my_policies.py:load",
        )
    for text in texts:
        if found := _REACHES_OUT.search(text):
            raise DataError(
                f"{path} uses {found[0]}, which reaches out of the program",
                expected="an actor that only computes",
            )
