"""Models that a server may put in force: the one it began with, and files of one folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.errors import ConfigError
from offline_trader.hashing import file_sha256

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = ["Catalog"]

_SHORTEST = 8


class Catalog:
    """Opened models by their SHA-256.

    Args:
        first: that the server began with.
        folder: whose files may be loaded; None: none.
    """

    def __init__(self, first: OnnxPolicy, folder: Path | None = None) -> None:
        self._folder = folder
        self._opened = {first.file.sha256: first}

    def load(self, file: str) -> OnnxPolicy:
        """The model of a file in the folder, opened and checked.

        Args:
            file: its name, without folders.

        Raises:
            ConfigError: no folder was given, no such file, or a name that leads elsewhere.
            DataError, SchemaMismatch: as :class:`~offline_trader.export.OnnxPolicy`.
        """
        from offline_trader.export import OnnxPolicy

        if self._folder is None:
            raise ConfigError(
                "this server loads no models", expected="it was started with --models FOLDER"
            )
        path = self._folder / file
        if Path(file).name != file or not path.is_file():
            raise ConfigError(
                f"no file {file!r} in the folder of models",
                expected=", ".join(sorted(each.name for each in self._folder.glob("*.onnx")))
                or "an ONNX file in it",
            )
        policy = OnnxPolicy(path)
        return self._opened.setdefault(policy.file.sha256, policy)

    def find(self, sha256: str) -> OnnxPolicy:
        """The loaded model whose hash begins so.

        Raises:
            ConfigError: none, or several.
        """
        found = [key for key in self._opened if key.startswith(sha256)]
        if len(sha256) < _SHORTEST or len(found) != 1:
            raise ConfigError(
                f"{len(found)} loaded models with hash {sha256!r}",
                expected=f"{_SHORTEST} or more characters of one of "
                + ", ".join(key[:12] for key in self._opened),
                hint="POST /v1/models/load first",
            )
        return self._opened[found[0]]

    def having(self, sha256s: Collection[str]) -> list[OnnxPolicy]:
        """The first model, and those of the folder whose hashes these are."""
        for path in sorted(self._folder.glob("*.onnx")) if self._folder is not None else ():
            if file_sha256(path) in set(sha256s) - set(self._opened):
                self.load(path.name)
        return list(self._opened.values())

    def listed(self) -> list[dict[str, Any]]:
        """What is loaded."""
        return [
            {"file": each.path.name, "model_sha256": sha256, "layout_hash": each.layout.hash}
            for sha256, each in self._opened.items()
        ]
