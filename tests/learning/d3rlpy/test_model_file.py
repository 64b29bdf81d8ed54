"""A ``.d3`` file of somebody else's: nothing in it runs, and what cannot be is refused."""

from __future__ import annotations

import collections
import functools
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import DataError
from offline_trader.hashing import file_sha256
from offline_trader.learning.agents import load_learner, make_learner
from offline_trader.learning.settings import LearnerConfig


class Calls:
    """Pickles to a call of ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "policy.d3"
    make_learner(LearnerConfig(hidden=(8,)), 4, seed=0).save(path)
    return path


def _parts(path: Path) -> dict[str, Any]:
    """The content of a file that this test wrote."""
    parts: dict[str, Any] = pickle.loads(path.read_bytes())
    return parts


def _in_a_zip(payload: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"policy": payload}, buffer)
    return buffer.getvalue()


def _payloads(mark: Path) -> dict[str, bytes]:
    system = Calls(os.system, f"touch {mark}")
    whole = {"torch": b"", "config": "{}", "version": "2.6"}
    return {
        "the file itself": pickle.dumps(system),
        "protocol 0": pickle.dumps(system, protocol=0),
        "a key": pickle.dumps({**whole, system: 1}),
        "a part": pickle.dumps({**whole, "torch": system}),
        "within containers": pickle.dumps({**whole, "more": [({"x": (system,)},)]}),
        "by a builtin": pickle.dumps(Calls(eval, f"open({str(mark)!r}, 'w')")),
        "by a partial": pickle.dumps(Calls(functools.partial(os.system, f"touch {mark}"))),
        "by a harmless name": pickle.dumps({**whole, "more": collections.OrderedDict()}),
        "in torch's zip": pickle.dumps({**whole, "torch": _in_a_zip(system)}),
        "a pickle as weights": pickle.dumps({**whole, "torch": pickle.dumps(system)}),
    }


@pytest.mark.parametrize("name", list(_payloads(Path("x"))))
def test_a_payload_is_not_run(name: str, model: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    parts = pickle.loads(_payloads(mark)[name]) if name == "in torch's zip" else None
    if parts is None:
        model.write_bytes(_payloads(mark)[name])
    else:  # the true settings, so that the weights are what is wrong
        model.write_bytes(pickle.dumps({**_parts(model), "torch": parts["torch"]}))
    with pytest.raises(DataError) as caught:
        load_learner(model)
    assert "policy.d3" in str(caught.value)
    assert not mark.exists()


def test_the_payloads_of_this_test_do_run_where_they_are_let(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pickle.loads(_payloads(mark)["the file itself"])
    assert mark.exists()


def test_every_flipped_bit_is_seen_where_the_hash_is_known(model: Path) -> None:
    sha256, whole = file_sha256(model), model.read_bytes()
    rng = np.random.default_rng(0)
    load_learner(model, sha256=sha256)
    for place in rng.integers(0, len(whole), 100):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        model.write_bytes(damaged)
        with pytest.raises(DataError, match=r"policy\.d3 has SHA-256 (.|\n)*manifest of its run"):
            load_learner(model, sha256=sha256)


def test_damage_without_a_known_hash_ends_in_no_traceback(model: Path) -> None:
    whole = model.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] = int(rng.integers(256))
        model.write_bytes(damaged if place % 3 else whole[:place])
        try:
            load_learner(model)
        except DataError:
            refused += 1
    assert refused > 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation_shape": [10**9]}, "weights in"),
        ({"observation_shape": []}, "readable|weights in"),
        ({"action_size": "four"}, "settings are wrong"),
        ({"action_size": 10**30}, "more than 64 bits"),
        ({"params": {"n_critics": 10**9}}, "weights in"),
        ({"params": {"gamma": 7.0}}, "settings that are wrong"),
        ({"params": {"batch_size": "many"}}, "wrong"),
        ({"params": {"critic_encoder_factory": {"type": "default", "params": {}}}}, "encoders"),
        ({"params": {"action_scaler": {"type": "min_max", "params": {}}}}, "action_scaler"),
        (
            {"params": {"observation_scaler": {"type": "standard",
                                               "params": {"mean": [0.0], "std": [1.0]}}}},
            "scaler that cannot be used",
        ),
        ({"type": "dqn"}, "wrong|holds"),
        ({"type": "os.system"}, "settings are wrong"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(
    change: dict[str, Any], message: str, model: Path
) -> None:
    parts = _parts(model)
    tree = json.loads(parts["config"])
    for key, value in change.items():
        if key == "params":
            tree["config"]["params"] |= value
        elif key == "type":
            tree["config"]["type"] = value
        else:
            tree[key] = value
    model.write_bytes(pickle.dumps({**parts, "config": json.dumps(tree)}))
    with pytest.raises(DataError, match=message):
        load_learner(model)


@pytest.mark.parametrize(
    "config", ["", "[]", "{}", "null", '{"config": 3}', "\x00", "[" * 200_000, '{"a":' * 200_000]
)
def test_settings_that_are_none_are_refused(config: str, model: Path) -> None:
    model.write_bytes(pickle.dumps({**_parts(model), "config": config}))
    with pytest.raises(DataError, match="not a readable d3rlpy model"):
        load_learner(model)


def test_a_small_file_takes_no_large_memory(model: Path) -> None:
    """Each of these asks for a gigabyte: a place in the pickle's memory, and packed weights."""
    parts, whole = _parts(model), model.read_bytes()
    place = (1 << 26).to_bytes(4, "little")
    model.write_bytes(whole[:-1] + b"r" + place + b".")
    with pytest.raises(DataError, match="67,108,864 places of memory"):
        load_learner(model)

    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(parts["torch"])) as stored,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as records,
    ):
        for record in stored.infolist():
            records.writestr(record.filename, stored.read(record.filename))
    model.write_bytes(pickle.dumps({**parts, "torch": packed.getvalue()}))
    with pytest.raises(DataError, match=r"weights cannot be read \(.* is compressed\)"):
        load_learner(model)


def test_a_policy_of_no_numbers_is_refused(model: Path) -> None:
    learner = load_learner(model)
    with torch.no_grad():
        next(learner.algo.impl.policy.parameters()).fill_(float("nan"))
    learner.engine.reload()
    learner.save(model)
    with pytest.raises(DataError, match="weights that are not finite"):
        load_learner(model)
