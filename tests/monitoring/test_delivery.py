"""Alerts reach a mail server, a web server and a file; what fails is tried again, apart from it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("apprise")

from offline_trader.errors import ConfigError
from offline_trader.monitoring import (
    Channel,
    ChannelSettings,
    Delivery,
    Message,
    Outcome,
    open_channels,
)

MESSAGE = Message("drawdown", "SPX", "raised", "critical", "drawdown is 0.31", "2026-01-01T00:00Z")


def outcomes(delivery: Delivery, wanted: int, limit_s: float = 20.0) -> list[Outcome]:
    found: list[Outcome] = []
    until = time.monotonic() + limit_s
    while len(found) < wanted and time.monotonic() < until:
        found += delivery.outcomes()
        time.sleep(0.01)
    return found


@pytest.fixture
def delivering() -> Any:
    made: list[Delivery] = []

    def begin(*settings: ChannelSettings) -> Delivery:
        made.append(Delivery(open_channels(settings), first_pause_s=0.02))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def mail_to(port: int) -> ChannelSettings:
    where = f"mailto://127.0.0.1:{port}/?from=desk@example.org&to=person@example.org"
    return ChannelSettings("mail", url=where)


def test_every_channel_has_the_alert_after_refusals(
    mailbox: Any, hook: Any, tmp_path: Path, delivering: Callable[..., Delivery]
) -> None:
    mailbox.refusals, hook.refusals = 1, 2
    delivery = delivering(
        mail_to(mailbox.port),
        ChannelSettings("hook", url=f"json://127.0.0.1:{hook.port}/alerts"),
        ChannelSettings("file", file=tmp_path / "alerts.jsonl"),
    )
    delivery.send(MESSAGE, 7)
    found = {each.channel: each for each in outcomes(delivery, 3)}
    assert {name: (each.reason, each.tries) for name, each in found.items()} == {
        "mail": ("", 2),
        "hook": ("", 3),
        "file": ("", 1),
    }
    assert {each.row for each in found.values()} == {7}
    (mail,) = mailbox.mails
    assert "drawdown is 0.31" in mail
    assert "CRITICAL: drawdown (SPX)" in mail
    (post,) = hook.posts
    assert (post["title"], post["type"]) == (MESSAGE.title, "failure")
    assert json.loads((tmp_path / "alerts.jsonl").read_text()) == vars(MESSAGE)


def test_a_place_that_cannot_be_reached_is_given_up_with_a_reason(
    tmp_path: Path, delivering: Callable[..., Delivery]
) -> None:
    (tmp_path / "folder").mkdir()
    delivery = delivering(
        ChannelSettings("gone", url="json://127.0.0.1:9/", give_up_s=0.1),
        ChannelSettings("file", file=tmp_path / "folder", give_up_s=0.1),
    )
    delivery.send(MESSAGE, 1)
    found = {each.channel: each for each in outcomes(delivery, 2)}
    assert found["gone"].reason
    assert found["gone"].tries > 1
    assert "Is a directory" in found["file"].reason


def test_sending_returns_at_once_however_slow_a_channel_is() -> None:
    def slow(message: Message) -> str:
        time.sleep(0.3)
        return ""

    settings = ChannelSettings("slow", file=Path("x"), least="info")
    delivery = Delivery([Channel(settings, slow)])
    begun = time.perf_counter()
    for row in range(1_000):
        delivery.send(MESSAGE, row)
    assert time.perf_counter() - begun < 0.2
    assert delivery.waiting > 900
    delivery.close(wait_s=0.0)


def test_a_channel_gets_what_is_bad_enough_for_it(tmp_path: Path) -> None:
    delivery = Delivery(
        open_channels([ChannelSettings("file", file=tmp_path / "a.jsonl", least="critical")])
    )
    for severity in ("info", "warning", "critical"):
        delivery.send(Message("a", "X", "raised", severity, "", ""), 1)
    assert len(outcomes(delivery, 1)) == 1
    delivery.close()
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ChannelSettings("x", url="nothing://there"), "does not know"),
        (ChannelSettings("x", file=Path("/nowhere/at/all/alerts")), "no folder"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_at_the_start(
    settings: ChannelSettings, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_channels([settings])
