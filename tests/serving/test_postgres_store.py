"""PostgreSQL as the store: the same log, and limits that several servers share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from offline_trader.errors import ConfigError, DataError, RiskHalt
from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bars, load_market
from offline_trader.serving import (
    AuditLog,
    BookLimits,
    Commits,
    Desk,
    RiskLimits,
    open_book,
    open_store,
    replay,
)
from offline_trader.serving.store import Row
from offline_trader.simulator import SimulatorConfig

psycopg = pytest.importorskip("psycopg")
MakeModel = Callable[..., Path]
Closed = Callable[[Any], Any]
LIMITS = RiskLimits(max_exposure=1.0, max_price_age_s=1e12, max_orders_per_day=1e9)


def programs() -> Path | None:
    """Folder of ``initdb`` and ``postgres``; None: they are not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


def require_programs() -> None:
    if programs() is None:
        assert "CI" not in os.environ, "CI installs PostgreSQL"
        pytest.skip("PostgreSQL is not installed")


@contextmanager
def database_server() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of an empty database; the server ends with the block.

    PostgreSQL refuses to run as root, so root runs it as the user that Debian's package makes.
    """
    where = programs()
    assert where is not None
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path is short
    run: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "text": True}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        run |= {"user": "postgres", "extra_groups": []}
    data = folder / "data"
    make: list[str | Path] = [
        where / "initdb",
        "-D",
        data,
        "-A",
        "trust",
        "-U",
        "desk",
        "--no-sync",
        "--locale=C",
    ]
    subprocess.run([*make, "-E", "UTF8"], check=True, **run)
    command: list[str | Path] = [where / "postgres", "-D", data, "-k", folder, "-h", "", "-F"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, **run)
    try:
        assert server.stderr is not None
        heard = ""
        while "ready to accept connections" not in heard:
            line = server.stderr.readline()
            assert line, heard
            heard += line
        yield f"postgresql://desk@/postgres?host={folder}", server
    finally:
        server.send_signal(signal.SIGINT)  # connections end with it
        server.communicate(timeout=30)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    require_programs()
    with database_server() as (place, _):
        yield place


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    if "url" in request.fixturenames:
        with psycopg.connect(request.getfixturevalue("url"), autocommit=True) as database:
            database.execute("DROP TABLE IF EXISTS log, book")


@pytest.fixture
def closed() -> Iterator[Closed]:
    """Closes what went through it, at the end."""
    with ExitStack() as held:

        def keep(each: Any) -> Any:
            held.callback(each.close)
            return each

        yield keep


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=420&seed=7")


@pytest.fixture
def policy(make_model: MakeModel) -> OnnxPolicy:
    return OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))


def test_who_only_reads_makes_nothing(url: str, closed: Closed) -> None:
    with pytest.raises(DataError, match="holds no audit logs"):
        open_store(url, reading=True)
    with psycopg.connect(url) as database:
        assert database.execute("SELECT to_regclass('log')").fetchone() == (None,)
    row = closed(AuditLog(url, "SPX")).append("note", {"i": 0})
    store = closed(open_store(url, reading=True))
    assert store.last("SPX") == (1, row.hash)
    with pytest.raises(DataError, match="read-only"):
        store.append("SPX", lambda number, before: Row("SPX", number + 1, "note", "{}", "0"))


def test_a_log_in_postgres_is_the_same_log(
    url: str, closed: Closed, policy: OnnxPolicy, bars: Bars, tmp_path: Path
) -> None:
    log = closed(AuditLog(url, "OU"))
    desk = Desk(policy, log, LIMITS, clock=lambda: 2e9).warm_up(bars.slice(0, 300))
    other = Desk(policy, AuditLog(tmp_path / "a.db", "OU"), LIMITS, clock=lambda: 2e9)
    other.warm_up(bars.slice(0, 300))
    for bar in bars.slice(300, 340):
        assert desk.on_bar(bar).units == other.on_bar(bar).units
    assert desk.log.verify() == other.log.verify()
    assert list(desk.log.entries(after=40)) == list(other.log.entries(after=40))
    second = closed(AuditLog(url, "OU"))
    assert replay(policy, second) == 40
    assert second.store.desks() == ["OU"]
    assert second.append("note", {"x": 1}).number == 43
    with pytest.raises(RiskHalt, match="somebody else writes"):
        desk.on_bar(bars[340])
    with (
        psycopg.connect(url) as database,
        pytest.raises(psycopg.Error, match="only appended to"),
    ):
        database.execute("DELETE FROM log")


def test_one_process_has_a_log(url: str, closed: Closed) -> None:
    one, two = closed(open_store(url)), closed(open_store(url))
    with one.held("OU"):
        with pytest.raises(ConfigError, match="in use by another process"), two.held("OU"):
            pass
        with two.held("OTHER"):
            pass
    with two.held("OU"):
        pass


REPLICA = """
import sys
import time
from offline_trader.export import OnnxPolicy
from offline_trader.markets import load_market
from offline_trader.serving import AuditLog, BookLimits, Commits, Desk, RiskLimits, open_book
from offline_trader.serving import open_store

url, model, name, gross, orders = sys.argv[1:]
store = open_store(url)
limits = BookLimits(max_gross=float(gross), max_orders_per_day=float(orders))
book, commits = open_book(store, limits), Commits(store)
limits = RiskLimits(max_price_age_s=1e12, max_orders_per_day=1e9, max_drawdown=1.0)
bars = load_market("synthetic:ou?bars=420&seed=7")
desks = [Desk(OnnxPolicy(model), AuditLog(commits, f"{name}{i}"), limits, book=book)
         for i in range(2)]
for desk in desks:
    desk.warm_up(bars.slice(0, 300))
while len(store.desks()) < 4:  # until the other process is there
    time.sleep(0.01)
for bar in bars.slice(300, 420):
    for desk in desks:
        desk.decide(bar)
    desks[0].commit()
print(sum(d.content["units"] != 0.0 for desk in desks for d in desk.log.entries("decided")))
"""


@pytest.mark.parametrize(("gross", "orders"), [(0.3, 1e9), (10.0, 25.0)])
def test_replicas_never_pass_a_limit_together(
    url: str, policy: OnnxPolicy, gross: float, orders: float
) -> None:
    """Two processes with two desks each; what the book allows is checked at every row."""
    commands = [
        [sys.executable, "-c", REPLICA, url, str(policy.path), name, str(gross), str(orders)]
        for name in ("A", "B")
    ]
    running = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in commands]
    let_through = [int(each.communicate(timeout=120)[0]) for each in running]
    assert [each.returncode for each in running] == [0, 0]
    if orders < 1e6:
        assert sum(let_through) == orders
    else:
        assert min(let_through) > 5
    with psycopg.connect(url) as database:
        rows = database.execute(
            "SELECT desk, content FROM log WHERE kind = 'decided' ORDER BY xmin::text::bigint, desk"
        ).fetchall()
    value, equity, largest = {}, {}, 0.0
    for desk, text in rows:
        told = json.loads(text)
        p, close = told["portfolio"], told["bar"][4]
        grows = abs(p["units"] + told["units"]) > abs(p["units"])
        value[desk] = max(abs(p["units"]), abs(p["units"] + told["units"])) * close
        equity[desk] = p["equity"]
        if told["units"] and grows:
            total = sum(value.values()) / sum(equity.values())
            largest = max(largest, total)
            assert total <= gross * (1.0 + 1e-9)
    if gross < 1.0:
        assert largest > 0.9 * gross


def test_a_database_that_goes_away_stops_every_order(
    policy: OnnxPolicy, bars: Bars, closed: Closed
) -> None:
    require_programs()
    with database_server() as (url, server):
        store = closed(open_store(url))
        book = open_book(store, BookLimits(max_gross=1.0))
        for name, with_book in (("A", None), ("B", book)):
            desk = Desk(policy, AuditLog(Commits(store), name), LIMITS, book=with_book)
            desk.warm_up(bars.slice(0, 300))
            desk.on_bar(bars[300])
            if with_book is not None:
                server.kill()
                server.wait()
            else:
                kept = desk
        for each in (desk, kept):
            with pytest.raises(RiskHalt, match="cannot be written"):
                each.on_bar(bars[301])
            assert each.broken
        with pytest.raises(DataError, match="postgresql://"):
            open_store(url)
