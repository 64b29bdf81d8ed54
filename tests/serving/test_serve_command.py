"""The command that serves: it goes on after a kill, and does not start where that is not safe."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from offline_trader.cli.main import main
from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import AuditLog, Desk, RiskLimits
from offline_trader.simulator import SimulatorConfig

TOKEN = "0123456789abcdef"
BodyOf = Callable[[Bar], dict[str, Any]]


def feeder() -> Any:
    place = Path(__file__).resolve().parents[2] / "examples" / "feed_a_server.py"
    spec = importlib.util.spec_from_file_location("feed_a_server", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fed(bars: Bars, folder: Path, address: str, token: Path) -> list[dict[str, Any]]:
    """Answers to the last two bars, which the example feeds from a CSV."""
    prices = folder / "prices.csv"
    bars.to_frame().to_csv(prices)
    words = [str(prices), "--url", address, "--token-file", str(token), "--last", "2"]
    found: list[dict[str, Any]] = feeder().main(words)
    return found


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=420&seed=7")


@pytest.fixture
def policy(make_model: Callable[..., Path]) -> OnnxPolicy:
    return OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))


def test_a_served_model_is_killed_and_goes_on(
    policy: OnnxPolicy, bars: Bars, tmp_path: Path, body_of: BodyOf
) -> None:
    """The command in a process of its own: killed without warning, started again on its logs."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    command = [
        sys.executable, "-m", "offline_trader.cli.main", "serve", str(policy.path), "--instrument",
        "OU", "--logs", str(tmp_path / "logs"), "--port", "0", "--token-file", str(token),
        "--set", "limits.max_price_age_s=1e12",
    ]  # fmt: skip

    bearer = {"authorization": f"Bearer {TOKEN}"}

    def ask(address: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {**bearer, "content-type": "application/json"}
        request = urllib.request.Request(address + path, data, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    rows = []
    for part in (slice(300, 310), slice(310, 320)):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            heard = ""
            while "listening on" not in heard:
                line = process.stderr.readline()
                assert line, heard
                heard += line
            address = re.search(r"http://\S+", heard)[0]  # type: ignore[index]
            if part.start == 300:
                past = [body_of(bar) for bar in bars.slice(0, 300)]
                ask(address, "/v1/warm-up", {"bars": past})
            for bar in bars.slice(part.start, part.stop):
                rows.append(ask(address, "/v1/decide", {"bars": [body_of(bar)]})["answers"][0])
            if part.start != 300:
                rows += fed(bars.slice(0, 322), tmp_path, address, token)
                page = urllib.request.Request(f"{address}/dashboard/events", headers=bearer)
                with urllib.request.urlopen(page, timeout=20) as stream:
                    assert stream.readline() == b"event: update\n"  # it has read the log
                ask(address, "/v1/halt", {"reason": "drill"})
            process.send_signal(signal.SIGKILL if part.start == 300 else signal.SIGTERM)
            rest = process.stderr.read()
    assert process.returncode == 5
    assert "nothing could be ordered at the end; OU: drill" in rest
    files = {each.name for each in (tmp_path / "logs").iterdir() if each.suffix != ".lock"}
    assert files == {"audit.db"}  # with all rows in it, and let go of
    limits = RiskLimits(max_price_age_s=1e12)
    whole = Desk(policy, AuditLog(tmp_path / "one.db"), limits).warm_up(bars.slice(0, 300))
    expected = [whole.on_bar(bar) for bar in bars.slice(300, 322)]
    assert [row["action"] for row in rows] == [each.decision.action for each in expected]
    log = AuditLog(tmp_path / "logs" / "audit.db", "OU")
    log.verify()
    assert [row["row"] for row in rows] == [each.number for each in log.entries("decided")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("date,open,high,low\n2020-01-01,1,1,1\n", "prices.csv line 2: 'close'"),
        ("date,open,high,low,close\n2020-01-01,1,1,1,1\n2020-01-02,1,1,x,1\n", "line 3"),
        ("date,open,high,low,close\n2020-01-01,1,1,1,1\n", "does the server run?"),
    ],
)
def test_the_feeder_says_what_is_wrong(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices, example = tmp_path / "prices.csv", feeder()
    if text is not None:
        prices.write_text(text)
    monkeypatch.setattr(example, "_PATIENCE_S", 0.01)
    with socket.socket() as place:  # that nobody listens on
        place.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{place.getsockname()[1]}"
        with pytest.raises(SystemExit, match=re.escape(message)):
            example.main([str(prices), "--url", url])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "without a token"),
        (["--host", "example.org", "--token-file", "TOKEN"], "without TLS"),
        (["--token-file", "OPEN"], "others can read"),
        (["--token-file", "SHORT"], "16 or more"),
        (["--token-file", "none"], "no file none"),
        (["--tls-cert", "x.pem"], "a certificate or a key alone"),
        (["--instrument", "../up"], "instrument '../up'"),
        (["--store", "elsewhere.db"], "--store elsewhere.db"),
        (["--models", "nowhere"], "no folder nowhere"),
        (["--set", "book.max_gross=-1"], "book.max_gross is -1"),
        (["--instrument", "ou"], "there twice"),
        (["--set", "limits.max_exposure=-1"], "limits.max_exposure is -1"),
    ],
)
def test_an_unsafe_start_is_refused(
    arguments: list[str], message: str, policy: OnnxPolicy, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, text, mode in (
        ("TOKEN", TOKEN, 0o600),
        ("OPEN", TOKEN, 0o644),
        ("SHORT", "x", 0o600),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    if os.name != "posix" and "OPEN" in arguments:
        pytest.skip("files have no such rights here")
    with pytest.raises(SystemExit) as stop:
        main(["serve", str(policy.path), "--instrument", "OU", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


def test_a_taken_port_is_named(
    policy: OnnxPolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = ["serve", str(policy.path), "--instrument", "OU", "--logs", str(tmp_path / "l")]
        with pytest.raises(SystemExit) as stop:
            main([*words, "--port", port])
    assert stop.value.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
