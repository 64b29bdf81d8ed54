"""The Dockerfile and the unit of systemd: safe, and of files and options that there are."""

from __future__ import annotations

import configparser
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from offline_trader.cli import serve
from offline_trader.config import load_config
from offline_trader.serving.server_settings import ServeConfig

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "deploy" / "offline-trader.service"


def instructions() -> list[tuple[str, str]]:
    """(instruction, its words) of the Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in found]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def only(stage: list[tuple[str, str]], word: str) -> str:
    (found,) = [rest for each, rest in stage if each == word]
    return found


def require_options(words: list[str]) -> None:
    """Every option of a ``serve`` command line is one."""
    app = typer.Typer()
    app.command()(serve.command)
    known = {name for each in typer.main.get_command(app).params for name in each.opts}
    options = [word for word in words if word.startswith("--")]
    assert len(options) >= 4
    assert set(options) <= known


def test_the_image_runs_as_nobody_with_a_health_check() -> None:
    build, last = stages()
    for stage in (build, last):
        assert re.fullmatch(r"python:3\.\d+-slim-\w+( AS build)?", stage[0][1])
    uid, _, gid = only(last, "USER").partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    order = [word for word, _ in last]
    assert order.index("USER") > max(i for i, word in enumerate(order) if word in ("RUN", "COPY"))
    assert "ADD" not in [word for word, _ in instructions()]
    assert only(last, "VOLUME") == "/logs"
    probe = json.loads(only(last, "HEALTHCHECK").partition("CMD ")[2])
    assert probe[:2] == ["python", "-m"]
    assert (ROOT / f"{probe[2].replace('.', '/')}.py").is_file()
    assert json.loads(only(last, "ENTRYPOINT")) == ["offline-trader", "serve"]
    command = json.loads(only(last, "CMD"))
    require_options(command)
    assert command[command.index("--logs") + 1] == "/logs"


def test_what_is_copied_is_there_and_not_ignored() -> None:
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert patterns[0] == "*"
    let_in = {each[1:] for each in patterns if each.startswith("!")}
    for word, rest in stages()[0]:
        if word == "COPY":
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in let_in
    assert not any(fnmatch.fnmatch("offline_trader/serving/desk.py", each) for each in patterns[1:])


def test_a_linter_finds_nothing() -> None:
    beside = Path(sys.executable).parent  # where pip puts it
    linter = shutil.which("hadolint", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if linter is None:
        pytest.skip("no hadolint; the tests above look at what matters most")
    done = subprocess.run(
        [linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def unit() -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    text = UNIT.read_text(encoding="utf-8")
    found.read_string(re.sub(r"\\\n\s*", " ", text))
    return found


def test_the_unit_can_write_its_logs_alone() -> None:
    service = unit()["Service"]
    assert service["User"] == "offline-trader"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    for key in (
        "NoNewPrivileges",
        "ProtectHome",
        "PrivateTmp",
        "PrivateDevices",
        "LockPersonality",
    ):
        assert service[key] == "yes"
    words = shlex.split(service["ExecStart"])
    assert words[1] == "serve"
    require_options(words)
    assert words[words.index("--logs") + 1] == f"/var/lib/{service['StateDirectory']}"
    assert {"2", "3", "5"} <= set(service["RestartPreventExitStatus"].split())


def test_systemd_calls_the_unit_safe() -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze")
    done = subprocess.run(
        [program, "security", "--offline=true", "--no-pager", "--threshold=25", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "offline" in done.stderr and "unrecognized" in done.stderr:
        pytest.skip("a systemd-analyze that does not judge files")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_can_be_read() -> None:
    found = load_config(ServeConfig, ROOT / "deploy" / "serving.yaml")
    assert found.limits.max_price_age_s == 90_000.0
