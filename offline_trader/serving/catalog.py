"""Models that a server may put in force: the one it began with, and those of one folder.

They lie in the folder itself or, as ``offline-trader export`` writes them, each in a folder of its
own there, with its manifest: what a model's training was like is told by the one beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from offline_trader.errors import ConfigError, DataError
from offline_trader.hashing import file_sha256

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy
    from offline_trader.serving.http_answers import LoadedTold

__all__ = ["Catalog"]

_SHORTEST = 8


class Catalog:
    """Opened models by their SHA-256.

    Args:
        first: that the server began with.
        folder: whose files, and those of its folders, may be loaded; None: none.
    """

    def __init__(self, first: OnnxPolicy, folder: Path | None = None) -> None:
        self._folder = folder
        self._opened = {first.file.sha256: first}

    def load(self, file: str) -> OnnxPolicy:
        """The model of a file in the folder, opened and checked.

        Args:
            file: its name, or that of a folder there and its name, as ``second/policy.onnx``.

        Raises:
            ConfigError: no folder was given, no such file, or a name that leads elsewhere.
            DataError, SchemaMismatch: as :class:`~offline_trader.export.OnnxPolicy`.
        """
        from offline_trader.export import open_model

        if self._folder is None:
            raise ConfigError(
                "this server loads no models", expected="it was started with --models FOLDER"
            )
        path = self._path(file)
        if path is None:
            raise ConfigError(
                f"no file {file!r} in the folder of models",
                expected=", ".join(map(self._named, self._there())) or "an ONNX file in it",
            )
        policy = open_model(path)
        return self._opened.setdefault(policy.file.sha256, policy)

    def sha256_of(self, file: str) -> str | None:
        """Of what a request to load names, a model or not; None: nothing there can be read."""
        path = self._path(file)
        return None if path is None else _sha256(path) or None

    def find(self, sha256: str) -> OnnxPolicy:
        """The loaded model whose hash begins so.

        Raises:
            ConfigError: none, or several.
            DataError: its file is gone, or is another one by now: a server that is started again
                has to find every model of its log.
        """
        found = [key for key in self._opened if key.startswith(sha256)]
        if len(sha256) < _SHORTEST or len(found) != 1:
            raise ConfigError(
                f"{len(found)} loaded models with hash {sha256!r}",
                expected=f"{_SHORTEST} or more characters of one of "
                + ", ".join(key[:12] for key in self._opened),
                hint="POST /v1/models/load first",
            )
        policy = self._opened[found[0]]
        if _sha256(policy.path) != found[0]:
            raise DataError(
                f"{self._named(policy.path)} was taken away or replaced since it was loaded",
                expected=f"the file with hash {found[0][:12]}, which a restart needs",
                hint="put it back, or load the file that is there now",
            )
        return policy

    def having(self, sha256s: Collection[str]) -> list[OnnxPolicy]:
        """The first model, and those of the folder whose hashes these are."""
        missing = set(sha256s) - set(self._opened)
        for path in self._there() if missing else []:
            if _sha256(path) in missing:
                self.load(self._named(path))
        return list(self._opened.values())

    def listed(self) -> list[LoadedTold]:
        """What is loaded."""
        return [
            {
                "file": self._named(each.path),
                "model_sha256": sha256,
                "layout_hash": each.layout.hash,
            }
            for sha256, each in self._opened.items()
        ]

    def _path(self, file: str) -> Path | None:
        """A file in the folder; None: there is none of that name, or it leads elsewhere."""
        named = Path(file)
        leads_away = named.is_absolute() or ".." in named.parts or len(named.parts) > 2
        path = None if self._folder is None or leads_away else self._folder / named
        return None if path is None or not _is_file(path) else path

    def _there(self) -> list[Path]:
        """What may be loaded."""
        if self._folder is None:
            return []
        found = [*self._folder.glob("*.onnx"), *self._folder.glob("*/*.onnx")]
        return sorted(filter(_is_file, found))

    def _named(self, path: Path) -> str:
        """As a request names it; a file from elsewhere by its name alone."""
        if self._folder is None or not path.is_relative_to(self._folder):
            return path.name
        return path.relative_to(self._folder).as_posix()


def _sha256(path: Path) -> str:
    """Of a file; empty where there is none that can be read."""
    try:
        return file_sha256(path)
    except OSError:
        return ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is longer than names can be
        return False
