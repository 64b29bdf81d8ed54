"""Datasets: collecting expert rollouts into Minari, loading them as contiguous arrays.

This folder is installed as ``offline_trader.datasets``. Python started at the repository root
finds the folder under the bare name ``datasets`` too, ahead of Hugging Face's package that
imitation imports; under that name this module hands over to the installed package.
"""

from __future__ import annotations

if __name__ == "datasets":  # pragma: no cover - exercised in a subprocess by tests
    import importlib.machinery as _machinery
    import importlib.util as _util
    import pathlib as _pathlib
    import sys as _sys

    _here = _pathlib.Path(__file__).resolve().parent.parent
    _path = [p for p in _sys.path if _pathlib.Path(p or ".").resolve() != _here]
    _spec = _machinery.PathFinder.find_spec("datasets", _path)
    if _spec is None or _spec.loader is None:
        raise ModuleNotFoundError(
            "No module named 'datasets' besides this repository's own folder; "
            "it is installed as offline_trader.datasets"
        )
    _module = _util.module_from_spec(_spec)
    _sys.modules["datasets"] = _module
    _spec.loader.exec_module(_module)
