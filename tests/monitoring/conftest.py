"""Local places that alerts can go to (a mail server and a web server of the standard library), and
a browser."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_MODELS = Path(__file__).parent.parent / "serving" / "conftest.py"
_spec = importlib.util.spec_from_file_location("models_of_serving", _MODELS)
assert _spec is not None
assert _spec.loader is not None
_models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_models)
make_model, body_of = _models.make_model, _models.body_of


class Mailbox(socketserver.ThreadingTCPServer):
    """Enough of SMTP (RFC 5321) to take a mail; ``refusals`` mails are refused first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.mails: list[str] = []
        self.refusals = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Smtp(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                self.say("354 go on")
                mail = b""
                while not mail.endswith(b"\r\n.\r\n"):
                    mail += self.rfile.readline()
                if self.server.refusals:
                    self.server.refusals -= 1
                    self.say("451 not now")
                else:
                    self.server.mails.append(mail.decode())
                    self.say("250 taken")
            else:
                self.say("221 bye" if word == "QUIT" else "250 fine")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class Hook(ThreadingHTTPServer):
    """Keeps the JSON that is posted; ``refusals`` posts are refused first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.posts: list[dict[str, Any]] = []
        self.refusals = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Post(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        refused = self.server.refusals > 0
        self.server.refusals -= refused
        if not refused:
            self.server.posts.append(json.loads(body))
        self.send_response(503 if refused else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(server: socketserver.TCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    with running(box):
        yield box


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    with running(server):
        yield server


class Browser:
    """A headless Chromium, spoken to over two pipes by its DevTools protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        to_read, to_write = os.pipe(), os.pipe()
        flags = (
            "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run "
            "--disable-extensions --disable-background-networking --remote-debugging-pipe "
            f"--user-data-dir={folder} about:blank"
        )
        shell = f"exec {program} {flags} 3<&{to_write[0]} 4>&{to_read[1]}"
        self._process = subprocess.Popen(
            ["bash", "-c", shell],
            pass_fds=(to_write[0], to_read[1]),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(to_write[0])
        os.close(to_read[1])
        self._out = os.fdopen(to_write[1], "wb", buffering=0)
        self._in = os.fdopen(to_read[0], "rb")
        self._rest, self._number = b"", 0
        self.complaints: list[str] = []
        page = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        told = self._call("Target.attachToTarget", {"targetId": page, "flatten": True})
        self._session: str | None = told["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._call(method, parameters, self._session)

    def show(self, url: str, *, wide: int, high: int = 900, dark: bool = False) -> None:
        """Go there, with a window of that size, in a light or a dark room."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=wide,
            height=high,
            deviceScaleFactor=1,
            mobile=wide < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, script: str, limit_s: float = 10.0) -> Any:
        """The value of an expression, once it is true."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if found := self.ask(script):
                return found
            time.sleep(0.02)
        raise AssertionError(f"not within {limit_s} s: {script}")

    def press(self, key: str) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def picture(self, file: Path, *, whole: bool = True) -> None:
        told = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(told["data"]))

    def close(self) -> None:
        self._out.close()
        self._in.close()
        self._process.terminate()
        self._process.wait(timeout=20)

    def _call(
        self, method: str, parameters: dict[str, Any], session: str | None = None
    ) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
            source = told.get("params", {}).get("entry", {}).get("source")
            # What is refused for want of a token is a complaint of the network's.
            if told.get("method") == "Runtime.exceptionThrown" or source not in (None, "network"):
                self.complaints.append(json.dumps(told["params"])[:500])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = self._in.read1(65_536)
            assert part, "the browser has gone"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium")
    made = Browser(program, tmp_path_factory.mktemp("browser"))
    yield made
    made.close()
