"""d3rlpy, imported without the notice that its dependency ``gym`` prints on standard error."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from types import ModuleType

__all__ = ["import_d3rlpy"]


def import_d3rlpy() -> ModuleType:
    """The d3rlpy module.

    d3rlpy 2.6 imports ``gym``, which prints that it is unmaintained. A user of this toolkit can do
    nothing about that, so ``gym`` is imported first with standard error caught; what d3rlpy
    itself prints is left alone.
    """
    if "gym" not in sys.modules:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import gym  # noqa: F401
    import d3rlpy

    module: ModuleType = d3rlpy
    return module
