"""The page of a running server: in a headless Chromium, by its stream, and beside the server."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from offline_trader.features import observation_layout
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.simulator import SimulatorConfig

TOKEN = "0123456789abcdef"
BodyOf = Callable[[Bar], dict[str, Any]]
REPORT = Path(__file__).parents[2] / "evaluation" / "report" / "style.css"
PAGE = Path(__file__).parents[2] / "offline_trader" / "monitoring"


class Process:
    """A command of ours that listens, and what is asked of it."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "offline_trader.cli.main", *words, "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        heard = ""
        assert self.process.stderr is not None
        while "listening on" not in heard:
            line = self.process.stderr.readline()
            assert line, heard
            heard += line
        self.address = re.search(r"http://[\d.:]+", heard)[0]  # type: ignore[index]

    def open(self, path: str, body: Any = None, token: str = TOKEN) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.address + path, data, headers)
        return urllib.request.urlopen(request, timeout=20)

    def ask(self, path: str, body: Any = None) -> Any:
        with self.open(path, body) as answer:
            return json.load(answer)

    def updates(self) -> Iterator[dict[str, Any]]:
        """The messages of the stream."""
        with self.open("/dashboard/events") as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def end(self) -> float:
        """The time that it takes to end by SIGTERM."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_market("synthetic:ou?bars=520&seed=7")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    spec = importlib.util.spec_from_file_location(
        "models", Path(__file__).parent.parent / "serving" / "conftest.py"
    )
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    layout = observation_layout()
    rules = SimulatorConfig(action_mode="target_long")
    models.linear_model(folder / "policy.onnx", rules, layout, models.lively(layout))
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, bars: Bars, body_of: BodyOf) -> Iterator[Process]:
    made = Process(
        *("serve", str(folder / "policy.onnx"), "--instrument", "OU", "--instrument", "TWO"),
        *("--logs", str(folder / "logs"), "--token-file", str(folder / "token")),
        *("--set", "limits.max_price_age_s=1e12", "--set", "limits.max_orders_per_day=1000"),
        *("--set", "book.max_gross=0.9", "--set", "book.max_group=0.8"),
    )
    for name in ("OU", "TWO"):
        past = [body_of(bar) for bar in bars.slice(0, 300)]
        made.ask("/v1/warm-up", {"instrument": name, "bars": past})
        some = [body_of(bar) for bar in bars.slice(300, 420 if name == "OU" else 360)]
        made.ask("/v1/decide", {"instrument": name, "bars": some})
    yield made
    made.process.kill()
    made.process.communicate()


def test_the_page_is_open_and_empty_and_its_data_need_the_token(server: Process) -> None:
    for path in ("/", "/dashboard", "/dashboard/page.css", "/dashboard/page.js"):
        with server.open(path, token="") as answer:
            text = answer.read().decode()
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        assert "OU" not in text
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path
    for token in ("", TOKEN[:-1] + "x"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            server.open("/dashboard/events", token=token)


def test_a_decision_is_in_the_stream_within_a_second(
    server: Process, bars: Bars, body_of: BodyOf
) -> None:
    stream = server.updates()
    first = next(stream)
    assert {each["instrument"]: each["whole"] for each in first["desks"]} == {
        "OU": True,
        "TWO": True,
    }
    begun = time.monotonic()
    told = server.ask("/v1/decide", {"instrument": "OU", "bars": [body_of(bars[420])]})
    answer = told["answers"][0]
    for update in stream:
        points = [p for desk in update["desks"] for p in desk["points"]]
        if points:
            break
    assert time.monotonic() - begun < 1.0
    assert [(p["row"], p["action"]) for p in points] == [(answer["row"], answer["action"])]
    assert points[0]["equity"] == answer["portfolio"]["equity"]
    stream.close()  # type: ignore[attr-defined]


def signed_in(browser: Any, server: Process, **how: Any) -> None:
    browser.show(f"{server.address}/dashboard", **how)
    browser.until("document.readyState === 'complete'")
    browser.ask("sessionStorage.clear()")  # what a test that failed left there
    browser.call("Page.reload")
    browser.until("document.querySelector('#token') && !document.querySelector('#token').hidden")
    browser.ask(f"document.querySelector('#word').value = '{TOKEN}'")
    browser.ask("document.querySelector('#token button').click()")
    browser.until("!document.querySelector('#board').hidden")


def leave(browser: Any) -> None:
    browser.ask("sessionStorage.clear()")
    browser.call("Page.navigate", url="about:blank")


def test_the_browser_shows_a_decision_within_a_second(
    server: Process, bars: Bars, browser: Any, body_of: BodyOf
) -> None:
    browser.complaints.clear()
    signed_in(browser, server, wide=1280)
    count = "document.querySelector('#decisions tbody tr')?.textContent"
    before = browser.until(count)
    begun = time.monotonic()
    told = server.ask("/v1/decide", {"instrument": "OU", "bars": [body_of(bars[421])]})
    browser.until(f"{count} !== {json.dumps(before)}")
    assert time.monotonic() - begun < 1.0
    equity = told["answers"][0]["portfolio"]["equity"]
    assert f"{equity:,.0f}" in browser.ask("document.querySelector('#tiles').textContent")
    assert browser.complaints == []
    heads = next(server.updates())["desks"]
    (points,) = [each["points"] for each in heads if each["instrument"] == "OU"]
    assert len(points) > 120
    for name in ("price", "equity", "exposure"):
        path = f"document.querySelector('#{name} path.curve').getAttribute('d')"
        assert len(re.findall(r"[ML]", browser.ask(path))) == len(points)
    assert browser.ask("document.querySelectorAll('#price .mark').length") > 10
    assert browser.ask("document.querySelectorAll('#heat svg').length") == 2
    assert browser.ask("document.querySelectorAll('#limits [role=meter]').length") == 6 + 2
    shown = browser.ask("document.querySelector('#limits').textContent")
    assert re.search(r"all desks together[\d.]+ % of 90(\.0)? %", shown), shown
    leave(browser)


def test_another_desk_is_chosen_and_a_chart_is_read_by_keys(server: Process, browser: Any) -> None:
    signed_in(browser, server, wide=1280)
    browser.until("document.querySelectorAll('#desks button').length === 2")
    browser.ask("document.querySelectorAll('#desks button')[1].focus()")
    browser.ask("document.activeElement.click()")
    browser.until("document.title.includes('TWO')")
    assert browser.ask("document.activeElement.dataset.desk") == "TWO"
    browser.ask("document.querySelector('#price .area').focus()")
    browser.press("Home")
    first = browser.ask("document.querySelector('#price .tip').textContent")
    browser.press("ArrowRight")
    second = browser.ask("document.querySelector('#price .tip').textContent")
    assert "close" in first
    assert first != second
    assert "60 decisions" in browser.ask(
        "document.querySelector('#price .area').getAttribute('aria-label')"
    )
    unnamed = (
        "[...document.querySelectorAll('section, nav, input, button, [role=img], [role=meter]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') "
        "|| e.textContent || (e.labels && e.labels.length))).length"
    )
    assert browser.ask(unnamed) == 0
    leave(browser)


@pytest.mark.parametrize(("wide", "dark"), [(390, False), (390, True), (1280, False), (1280, True)])
def test_nothing_is_wider_than_the_window_and_text_can_be_read(
    wide: int, dark: bool, server: Process, browser: Any
) -> None:
    signed_in(browser, server, wide=wide, dark=dark)
    browser.until("document.querySelector('#decisions tbody tr') !== null")
    assert browser.ask("document.documentElement.scrollWidth") <= wide
    colours = browser.ask(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    ink, ground = (luminance(each) for each in colours)
    assert (ink > ground) is dark
    assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 7.0
    pictures = os.environ.get("PICTURES")
    if pictures:
        browser.picture(Path(pictures) / f"page-{wide}-{'dark' if dark else 'light'}.png")
    leave(browser)


def test_small_numbers_are_told_and_long_names_are_no_wider_than_a_phone(
    server: Process, browser: Any
) -> None:
    signed_in(browser, server, wide=390)
    browser.ask("void import('/dashboard/charts.js').then((m) => { window.charts = m; })")
    browser.until("window.charts !== undefined")
    for value, text in {
        "0.0000098874": "0.0000098874",
        "-4.6854e-8": "\u22124.685e\u22128",
        "-1.08543": "\u22121.0854",
        "98.87": "98.87",
        "-0": "0",
        "1234.5": "1,235",
        "1e300": "1.000e+300",
    }.items():
        assert browser.ask(f"window.charts.written({value})") == text
    browser.until("document.querySelectorAll('#heat svg').length === 2")
    for place in ("#desks button", ".heat span, .heat div"):
        long = f"document.querySelector('{place}').textContent = 'B'.repeat(100)"
        assert browser.ask(f"({long}, document.documentElement.scrollWidth)") <= 390, place
    leave(browser)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(x) / 255.0 for x in re.findall(r"\d+", colour)[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_texts_of_others_are_texts(server: Process, browser: Any) -> None:
    signed_in(browser, server, wide=390)
    evil = "<img src=x onerror='document.body.dataset.broken=1'>"
    server.ask("/v1/halt", {"instrument": "OU", "reason": evil})
    browser.until("document.querySelector('#reason').textContent.includes('onerror')")
    browser.until("document.querySelector('#firing').textContent.includes('halted')")
    assert browser.ask("document.querySelectorAll('img').length") == 0
    assert browser.ask("document.body.dataset.broken") is None
    assert browser.ask("document.querySelector('#banner').className") == "banner bad"
    server.ask("/v1/rearm", {"instrument": "OU", "reason": "A. Person"})
    browser.until("document.querySelector('#banner').className === 'banner good'")
    leave(browser)


def test_a_page_of_its_own_process_says_the_same(server: Process, folder: Path) -> None:
    other = Process(
        *("dashboard", "--store", str(folder / "logs"), "--token-file", str(folder / "token")),
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        other.open("/dashboard/events", token="")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        other.open("/v1/desks")
    here, there = (next(each.updates())["desks"] for each in (server, other))
    for mine, theirs in zip(here, there, strict=True):
        assert mine.pop("broken") == ""
        assert mine == theirs
    assert other.end() < 5.0


@pytest.mark.slow
def test_an_open_page_does_not_hold_the_server_up(server: Process, folder: Path) -> None:
    made = Process("dashboard", "--store", str(folder / "logs"))
    held = threading.Event()

    def look() -> None:
        with made.open("/dashboard/events") as stream, suppress(OSError, HTTPException):
            stream.readline()
            held.set()
            stream.read()

    viewer = threading.Thread(target=look, daemon=True)
    viewer.start()
    assert held.wait(20.0)
    assert made.end() < 12.0
    assert made.process.returncode == 0
    viewer.join(10.0)


def test_the_palette_is_the_reports() -> None:
    def colours(css: str, part: int) -> dict[str, str]:
        return dict(re.findall(r"--(\w+):(#\w+)", css.split("prefers-color-scheme:dark")[part]))

    page, report = ((p / "page.css" if p.is_dir() else p).read_text() for p in (PAGE, REPORT))
    for part in (0, 1):
        own, theirs = (colours(css.split("*{box")[0], part) for css in (page, report))
        assert own
        assert own.items() <= theirs.items()
