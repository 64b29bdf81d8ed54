"""Datasets: collecting expert rollouts into Minari, loading them as contiguous arrays.

This folder is installed as ``offline_trader.datasets``. Python started at the repository root
finds the folder under the bare name ``datasets`` too, ahead of Hugging Face's package that
imitation imports; under that name this module hands over to the installed package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

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

if TYPE_CHECKING:
    from offline_trader.datasets.catalog import (
        dataset_metadata,
        dataset_path,
        datasets_root,
        list_datasets,
        scan_datasets,
    )
    from offline_trader.datasets.collection import collect
    from offline_trader.datasets.curation import (
        EpisodeTable,
        episode_table,
        filter_dataset,
        merge_datasets,
    )
    from offline_trader.datasets.loading import check_layout, load_info, load_transitions
    from offline_trader.datasets.plan import CollectConfig
    from offline_trader.datasets.sealing import seal
    from offline_trader.datasets.summary import CollectSummary, plot_summary

__all__ = [
    "CollectConfig",
    "CollectSummary",
    "EpisodeTable",
    "check_layout",
    "collect",
    "dataset_metadata",
    "dataset_path",
    "datasets_root",
    "episode_table",
    "filter_dataset",
    "list_datasets",
    "load_info",
    "load_transitions",
    "merge_datasets",
    "plot_summary",
    "scan_datasets",
    "seal",
]

__getattr__ = lazy_names("offline_trader.datasets")
