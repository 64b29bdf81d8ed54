"""The manifest beside an exported model: what it is, what it came from, what it passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader import __version__
from offline_trader.codec import read_object, to_json
from offline_trader.errors import ConfigError, DataError, GateFailed
from offline_trader.hashing import content_sha256
from offline_trader.locks import locked
from offline_trader.runs import LOCK, atomic_write

if TYPE_CHECKING:
    from offline_trader.export.agreement import ParityReport

__all__ = [
    "COLLAPSED",
    "EXPORT_KIND",
    "ManifestFacts",
    "described",
    "load_json",
    "read_manifest",
    "record_gates",
    "refuse_collapsed",
    "refuse_taken_place",
    "verify_manifest",
    "write_manifest",
]

COLLAPSED = "COLLAPSED"
EXPORT_KIND = "offline-trader export"
_LOCK_WAIT_S = 60.0
"""For an export into the folder, or another evaluation's gates."""


@dataclass(frozen=True)
class ManifestFacts:
    """What is known about a model besides its bytes.

    Attributes:
        layout_hash: of the observation layout inside the model.
        parents: name → file or directory it was made from, or its SHA-256 as 64 hex digits.
        gates: one JSON object a gate (name, value, interval, n, verdict, …); empty: none ran.
        collapse: the collapse measures with a ``verdicts`` list; None: not evaluated.
        parity: the comparison with the policy in torch; None: not compared.
        force: the user asked for the export in spite of a COLLAPSED verdict.
        facts: anything else that is JSON (seeds, market hash, goal, action mode).
        vectors: path within the model's folder → SHA-256 of the test vectors beside it.
        training: how features and actions are distributed on the training's bars, as JSON can be
            made of; drift is measured against it. None: not known.
    """

    layout_hash: str
    parents: Mapping[str, Path | str] = field(default_factory=dict)
    gates: Sequence[Mapping[str, Any]] = ()
    collapse: Mapping[str, Any] | None = None
    parity: ParityReport | None = None
    force: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    vectors: Mapping[str, str] = field(default_factory=dict)
    training: object | None = None


def refuse_collapsed(collapse: Mapping[str, Any] | None, *, force: bool) -> bool:
    """Whether the collapse verdict was overridden; call it before anything is written.

    Args:
        collapse: measures with a ``verdicts`` list of names, or None; ``reasons`` says why.
        force: export all the same.

    Raises:
        GateFailed: the verdict is COLLAPSED and ``force`` is false.
    """
    verdicts = [] if collapse is None else [str(each) for each in collapse.get("verdicts", [])]
    if COLLAPSED not in verdicts:
        return False
    if not force:
        reasons = collapse.get("reasons", {}) if collapse is not None else {}
        known = [f"{each} ({reasons[each]})" if each in reasons else each for each in verdicts]
        raise GateFailed(
            f"the policy's verdict is {', '.join(known)}",
            expected="a policy whose deterministic actions differ from state to state",
            hint="its evaluation shows it in a report; train it again, or export with --force, and "
            "the manifest will say so",
        )
    return True


def refuse_taken_place(model: Path) -> None:
    """Nothing if the manifest of ``model`` may be written; call it before the model is.

    Raises:
        ConfigError: another kind of manifest lies there already, or that of another model which
            is still there.
    """
    target = model.parent / "manifest.json"
    if not target.exists():
        return
    before = load_json(target)
    if before.get("kind") != EXPORT_KIND:
        raise ConfigError(
            f"{target} is the manifest of something else (a run, perhaps)",
            expected="a directory of its own for the exported model",
            hint="export to e.g. export/policy.onnx",
        )
    other = str(described(before).get("file", model.name))
    if other != model.name and (model.parent / other).exists():
        raise ConfigError(
            f"{target} describes {other}",
            expected="a directory of its own for every exported model",
            hint=f"choose another directory, or remove {other}",
        )


def write_manifest(model: Path | str, facts: ManifestFacts) -> Path:
    """Writes ``manifest.json`` beside ``model`` and returns its path.

    The manifest holds names and hashes, no paths and no clock: equal inputs give equal bytes.

    Raises:
        GateFailed: COLLAPSED without force.
        ConfigError: as :func:`refuse_taken_place`.
        DataError: the model or a parent is missing.
    """
    model = Path(model)
    forced = refuse_collapsed(facts.collapse, force=facts.force)
    refuse_taken_place(model)
    target = model.parent / "manifest.json"
    payload = {
        "kind": EXPORT_KIND,
        "version": __version__,
        "model": {
            "file": model.name,
            "sha256": content_sha256(model),
            "size_bytes": model.stat().st_size,
            "layout_hash": facts.layout_hash,
        },
        "parents": {name: _hash(value) for name, value in sorted(facts.parents.items())},
        "gates": _gates(facts.gates),
        "collapse": None if facts.collapse is None else dict(facts.collapse),
        "collapse_forced": forced,
        "parity": facts.parity,
        "facts": dict(facts.facts),
        "vectors": dict(facts.vectors),
        "training": facts.training,
    }
    text = to_json(payload, indent=2, sort_keys=True) + "\n"
    atomic_write(target, text.encode())
    return target


def read_manifest(path: Path | str) -> dict[str, Any]:
    """The manifest of a model, given its own path or the model's.

    Raises:
        DataError: it is missing, broken, or of another kind.
    """
    path = Path(path)
    target = path if path.suffix == ".json" else path.parent / "manifest.json"
    payload = load_json(target)
    if payload.get("kind") != EXPORT_KIND:
        raise DataError(f"{target} is not the manifest of an exported model")
    return payload


def verify_manifest(model: Path | str) -> dict[str, Any]:
    """The manifest beside ``model``, after checking that its hash is the model's.

    Raises:
        DataError: no manifest, or the model's bytes are not those it describes.
    """
    model = Path(model)
    manifest = read_manifest(model)
    found, stated = content_sha256(model), str(described(manifest).get("sha256"))
    if found != stated:
        raise DataError(
            f"{model} has SHA-256 {found[:16]}…",
            expected=f"{stated[:16]}… as its manifest states",
            hint="the model was changed or belongs to another manifest; export it again",
        )
    return manifest


def record_gates(
    model: Path | str, gates: Sequence[Mapping[str, Any]], *, sha256: str = ""
) -> Path:
    """Writes the gates of a later evaluation into the manifest beside ``model``.

    Args:
        model: the exported file.
        gates: one JSON object a gate, as in :class:`ManifestFacts`; they replace earlier ones.
        sha256: of the model that was judged; the file may be another by now. Empty: not compared.

    Returns:
        the manifest's path.

    Raises:
        DataError: as :func:`verify_manifest`, or a model of another hash than ``sha256``.
        ConfigError: an export into the same folder, or another evaluation, does not end.
    """
    target = Path(model).parent / "manifest.json"
    if not target.exists():  # no lock in a folder that is none of ours
        verify_manifest(model)
    with locked(target.parent / LOCK, f"the folder {target.parent}", wait_s=_LOCK_WAIT_S):
        manifest = verify_manifest(model)
        if sha256 not in ("", described(manifest).get("sha256")):
            raise DataError(
                f"{model} was replaced while it was judged",
                expected="the model that the gates are of, in its place",
                hint="evaluate the new one",
            )
        manifest["gates"] = _gates(gates)
        text = to_json(manifest, indent=2, sort_keys=True) + "\n"
        atomic_write(target, text.encode())
    return target


def described(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a manifest says of its model; nothing where that is of another type."""
    model = manifest.get("model")
    return model if isinstance(model, Mapping) else {}


def _gates(gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    by_verdict: dict[str, list[str]] = {}
    for gate in gates:
        by_verdict.setdefault(str(gate.get("verdict", "not evaluable")), []).append(
            str(gate.get("name"))
        )
    return {"evaluated": [dict(gate) for gate in gates], "by_verdict": by_verdict}


def _hash(value: Path | str) -> str:
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return value
    return content_sha256(Path(value))


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file at ``path``.

    Raises:
        DataError: no such file, or no JSON object in it.
    """
    return read_object(path, what="a manifest", hint="`offline-trader export` writes one")
