"""stable-baselines3 without matplotlib and pandas, until something of them is used."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any, ForwardRef

import pytest

from offline_trader.learning.stages.lean_import import deferred


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


USED_LATER = """
import sys, typing
import offline_trader.learning.stages.cloning, offline_trader.pipeline.auxiliary_data
late = {"matplotlib", "matplotlib.figure", "pandas", "scipy.signal", "scipy.stats", "arch"}
print(late & set(sys.modules))
from stable_baselines3.common import logger, monitor
with open(sys.argv[1], "w") as file:
    file.write("a,b\\n1,2\\n")
table = logger.read_csv(sys.argv[1])
import matplotlib.figure, pandas
print(type(table) is pandas.DataFrame, table["b"].tolist(), "pandas.core" in sys.modules)
hints = typing.get_type_hints(logger.Figure.__init__)
print(hints["figure"] is matplotlib.figure.Figure)
print(typing.get_type_hints(monitor.load_results)["return"] is pandas.DataFrame)
"""


def test_training_imports_neither_and_both_are_there_when_they_are_used(tmp_path: Any) -> None:
    code = USED_LATER.replace("sys.argv[1]", repr(str(tmp_path / "table.csv")))
    assert run(code).split("\n") == ["set()", "True [2] True", "True", "True", ""]


def test_a_package_that_is_imported_already_is_the_one_that_is_used() -> None:
    code = "import pandas, offline_trader.learning.stages.cloning as cloning\n"
    code += "import stable_baselines3.common.logger as logger\nprint(logger.pandas is pandas)"
    assert run(code) == "True\n"


@pytest.fixture
def without_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("wsgiref", "colorsys")]:
        monkeypatch.delitem(sys.modules, name)


def promised(reference: Any) -> str:
    assert isinstance(reference, ForwardRef)
    return reference.__forward_arg__


@pytest.mark.usefixtures("without_modules")
def test_only_the_importer_waits() -> None:
    found: list[Any] = []

    def elsewhere() -> None:
        import colorsys
        import wsgiref.headers

        found.extend([colorsys.rgb_to_hsv(0.0, 0.0, 1.0)[2], wsgiref.headers.Headers([("a", "b")])])

    with deferred("wsgiref", "wsgiref.headers", "colorsys", "no_such_package"):
        import colorsys
        import wsgiref.headers

        assert promised(colorsys.rgb_to_hsv) == "colorsys.rgb_to_hsv"
        kept = wsgiref.headers
        assert promised(kept.Headers) == "wsgiref.headers.Headers"
        with pytest.raises(ModuleNotFoundError):
            __import__("no_such_package")
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert found[0] == 1.0
        assert found[1]["a"] == "b"
    assert colorsys.rgb_to_hsv(0.0, 1.0, 0.0)[2] == 1.0
    assert kept.Headers is type(found[1])
    assert sys.modules["colorsys"] is not colorsys


@pytest.mark.usefixtures("without_modules")
def test_nothing_outlasts_a_block_that_fails() -> None:
    with pytest.raises(ModuleNotFoundError), deferred("wsgiref", "colorsys"):
        __import__("no_such_package")
    assert not {"wsgiref", "colorsys"} & set(sys.modules)
