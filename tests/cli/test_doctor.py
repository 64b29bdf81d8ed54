"""``doctor``: a whole installation passes, what is wrong is named with what to do; completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.pipeline.doctor import examine


def code_of(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_this_installation_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert code_of("doctor", "--root", str(tmp_path / "data"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["works"] is True
    checks = {each["name"]: each for each in found["checks"]}
    assert {"Python", "packages", "threads", "GPU", "compiled code", "self-test"} <= set(checks)
    assert f"torch {metadata.version('torch')}" in checks["packages"]["found"]
    assert str(tmp_path / "data") in checks["datasets (Minari)"]["found"]
    assert checks["self-test"]["verdict"] == "ok"
    assert not any(each["verdict"] == "problem" for each in found["checks"])
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_a_place_that_cannot_be_written_is_a_problem_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    place = str(tmp_path / "file" / "data")
    assert code_of("doctor", "--root", place, "--no-self-test") == 4
    shown = capsys.readouterr()
    assert "choose another place: --root" in shown.out
    assert "checks found a problem: datasets (Minari)" in shown.err


def test_a_dependency_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.requires("offline-trader")
    wrong = ["numpy<1", "no-such-package>=1", 'only-for-tests; extra == "dev"']
    monkeypatch.setattr(metadata, "requires", lambda name: [*(real or []), *wrong])
    (check,) = (each for each in examine() if each.name == "versions")
    assert check.verdict == "problem"
    assert check.found == (
        f"numpy is {metadata.version('numpy')}, not <1; no-such-package is missing"
    )
    assert "requirements.lock" in check.advice


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("offline-trader coll", "collect"), ("offline-trader collect --mark", "--market")],
)
def test_a_shell_completes_commands_and_options(typed: str, expected: str) -> None:
    environment = {
        **os.environ,
        "_OFFLINE_TRADER_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    script = (
        "import sys; sys.argv = ['offline-trader']\n"
        "from offline_trader.cli.main import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [expected], done.stderr
