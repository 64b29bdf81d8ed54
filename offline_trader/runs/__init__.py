"""Run directories: resolved settings, manifest, metrics, checkpoints, resume."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.runs.run import LOCK, Run, atomic_write, package_versions

__all__ = [
    "LOCK",
    "Run",
    "atomic_write",
    "package_versions",
]

__getattr__ = lazy_names(__name__)
