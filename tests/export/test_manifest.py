"""The manifest: hashes, gates and the collapse verdict."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from offline_trader.errors import ConfigError, DataError, GateFailed
from offline_trader.export import (
    ManifestFacts,
    read_manifest,
    record_gates,
    refuse_collapsed,
    refuse_taken_place,
    verify_manifest,
    write_manifest,
)
from offline_trader.hashing import content_sha256
from offline_trader.locks import locked
from offline_trader.runs import LOCK


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "export" / "policy.onnx"
    path.parent.mkdir()
    path.write_bytes(b"model bytes")
    return path


def test_manifest_holds_hashes_and_gates(model: Path, tmp_path: Path) -> None:
    parent = tmp_path / "run"
    (parent / "checkpoints").mkdir(parents=True)
    (parent / "checkpoints" / "a.pt").write_bytes(b"weights")
    gates = [
        {"name": "sharpe", "verdict": "pass", "value": 0.6, "interval": [0.1, 1.0], "n": 900},
        {"name": "trades", "verdict": "fail", "value": 3.0, "interval": None, "n": 900},
    ]
    facts = ManifestFacts("ab" * 32, {"run": parent, "dataset": "cd" * 32}, gates)
    target = write_manifest(model, facts)
    payload = json.loads(target.read_text())
    assert payload["model"]["sha256"] == hashlib.sha256(b"model bytes").hexdigest()
    assert payload["parents"]["dataset"] == "cd" * 32
    assert payload["parents"]["run"] == content_sha256(parent)
    assert payload["gates"]["by_verdict"] == {"pass": ["sharpe"], "fail": ["trades"]}
    assert str(tmp_path) not in target.read_text()
    assert verify_manifest(model) == read_manifest(target) == payload
    before = target.read_bytes()
    assert write_manifest(model, facts).read_bytes() == before


def test_a_directory_hash_changes_with_content_and_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    first = content_sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = content_sha256(tmp_path)
    (tmp_path / "b").write_bytes(b"2")
    assert len({first, second, content_sha256(tmp_path)}) == 3


def test_collapsed_needs_force_and_is_recorded(model: Path) -> None:
    collapse = {"verdicts": ["COLLAPSED"], "n_effective": 1.0}
    with pytest.raises(GateFailed, match="COLLAPSED"):
        write_manifest(model, ManifestFacts("ab" * 32, collapse=collapse))
    assert not (model.parent / "manifest.json").exists()
    target = write_manifest(model, ManifestFacts("ab" * 32, collapse=collapse, force=True))
    payload = json.loads(target.read_text())
    assert payload["collapse_forced"] is True
    assert payload["collapse"]["verdicts"] == ["COLLAPSED"]


def test_force_is_recorded_only_where_it_was_needed() -> None:
    assert refuse_collapsed({"verdicts": ["SATURATED"]}, force=True) is False
    assert refuse_collapsed(None, force=False) is False
    assert refuse_collapsed({"verdicts": ["COLLAPSED"]}, force=True) is True


def test_a_changed_model_is_found(model: Path) -> None:
    write_manifest(model, ManifestFacts("ab" * 32))
    model.write_bytes(b"other bytes")
    with pytest.raises(DataError, match="SHA-256"):
        verify_manifest(model)


def test_the_manifest_of_a_run_is_not_overwritten(model: Path) -> None:
    (model.parent / "manifest.json").write_text(json.dumps({"command": "pretrain"}))
    with pytest.raises(ConfigError, match="something else"):
        write_manifest(model, ManifestFacts("ab" * 32))
    with pytest.raises(DataError, match="not the manifest"):
        read_manifest(model)


def test_gates_of_a_later_evaluation_replace_the_earlier_ones(model: Path) -> None:
    target = write_manifest(model, ManifestFacts("ab" * 32, {}, [{"name": "a", "verdict": "pass"}]))
    before = json.loads(target.read_text())
    gates = [{"name": "sharpe", "verdict": "fail", "value": None}]
    assert record_gates(model, gates) == target
    after = verify_manifest(model)
    assert after["gates"] == {"evaluated": gates, "by_verdict": {"fail": ["sharpe"]}}
    assert {**after, "gates": None} == {**before, "gates": None}
    model.write_bytes(b"other")
    with pytest.raises(DataError, match="SHA-256"):
        record_gates(model, gates)


def test_gates_wait_for_an_export_and_are_of_the_model_that_was_judged(model: Path) -> None:
    target = write_manifest(model, ManifestFacts("ab" * 32))
    judged, gates = content_sha256(model), [{"name": "sharpe", "verdict": "pass"}]
    recorded: list[str] = []

    def record() -> None:
        try:
            record_gates(model, gates, sha256=judged)
        except DataError as error:
            recorded.append(error.found)

    with locked(model.parent / LOCK, "the folder"):  # as export holds it
        late = threading.Thread(target=record)
        late.start()
        model.write_bytes(b"another model")
        write_manifest(model, ManifestFacts("ab" * 32, {}, [{"name": "own", "verdict": "fail"}]))
    late.join()
    assert recorded == [f"{model} was replaced while it was judged"]
    assert read_manifest(target)["gates"]["by_verdict"] == {"fail": ["own"]}
    assert sorted(path.name for path in model.parent.iterdir()) == ["manifest.json", "policy.onnx"]


def test_a_model_does_not_take_the_manifest_of_another(model: Path) -> None:
    write_manifest(model, ManifestFacts("ab" * 32))
    other = model.with_name("other.onnx")
    with pytest.raises(ConfigError, match=r"manifest\.json describes policy\.onnx"):
        refuse_taken_place(other)
    other.write_bytes(b"other bytes")
    with pytest.raises(ConfigError, match=r"manifest\.json describes policy\.onnx"):
        write_manifest(other, ManifestFacts("ab" * 32))
    assert verify_manifest(model)["model"]["file"] == "policy.onnx"
    model.unlink()
    write_manifest(other, ManifestFacts("ab" * 32))
    assert verify_manifest(other)["model"]["file"] == "other.onnx"
