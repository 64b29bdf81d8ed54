"""Channels: how an alert reaches people, by apprise or into a file."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from offline_trader.codec import to_json
from offline_trader.errors import ConfigError
from offline_trader.monitoring.alert_rules import SEVERITIES, Severity

if TYPE_CHECKING:
    from offline_trader.monitoring.alert_settings import ChannelSettings

__all__ = ["Channel", "Message", "open_channels"]

_KINDS = {"info": "info", "warning": "warning", "critical": "failure", "cleared": "success"}


@dataclass(frozen=True)
class Message:
    """What people are told.

    Attributes:
        alert: its name.
        instrument: of the desk.
        event: raised, cleared or test.
        severity: of the alert.
        text: the signal, its value and the threshold.
        time: ISO, UTC.
    """

    alert: str
    instrument: str
    event: str
    severity: Severity
    text: str
    time: str

    @property
    def title(self) -> str:
        """One line."""
        word = self.severity.upper() if self.event == "raised" else self.event
        return f"[offline-trader] {word}: {self.alert} ({self.instrument})"

    @property
    def body(self) -> str:
        """All of it as text."""
        return f"{self.text}\n{self.event} at {self.time}\nseverity: {self.severity}"


@dataclass(frozen=True)
class Channel:
    """A place that alerts go to.

    Attributes:
        settings: of it.
        send: deliver; the reason where it could not, empty where it could. May take seconds.
    """

    settings: ChannelSettings
    send: Callable[[Message], str]

    def wants(self, severity: Severity) -> bool:
        """Whether an alert of that severity is sent there."""
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.settings.least)


def open_channels(settings: Sequence[ChannelSettings]) -> list[Channel]:
    """The channels.

    Raises:
        ConfigError: a URL that apprise does not know, apprise is not installed, or a folder that
            is not there.
    """
    return [_opened(each) for each in settings]


def _opened(settings: ChannelSettings) -> Channel:
    if settings.file is None:
        return Channel(settings, _notifier(settings))
    if not settings.file.parent.is_dir():
        raise ConfigError(
            f"channel {settings.name}: no folder {settings.file.parent}",
            expected="a folder in which the file of alerts can be made",
        )
    return Channel(settings, _appender(settings.file))


def _appender(file: Path) -> Callable[[Message], str]:
    def send(message: Message) -> str:
        try:
            with file.open("a", encoding="utf-8") as out:
                out.write(to_json(message) + "\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            return f"{file}: {error.strerror}"
        return ""

    return send


def _notifier(settings: ChannelSettings) -> Callable[[Message], str]:
    """Sends by apprise. Its plugins are loaded here, before anything has to be quick."""
    if find_spec("apprise") is None:
        raise ConfigError(
            f"channel {settings.name} needs apprise, which is not installed",
            expected="the environment of requirements-serve.lock, or the extra `serve`",
            hint="pip install 'offline-trader[serve]'",
        )
    import apprise

    url = settings.url
    if settings.url_file is not None:
        url = settings.url_file.read_text(encoding="utf-8").strip()
    # Without plugin paths nothing of the user's folders is imported.
    notifier = apprise.Apprise(asset=apprise.AppriseAsset(app_id="offline-trader"))
    with warnings.catch_warnings():  # some of its plugins import what Python deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        known = notifier.add(url)
    if not known:
        raise ConfigError(
            f"channel {settings.name}: apprise does not know its URL",
            expected="a URL such as mailtos://, jsons://, slack:// (apprise's list of services)",
        )

    def send(message: Message) -> str:
        kind = "cleared" if message.event == "cleared" else message.severity
        lines = _Lines()
        logger = logging.getLogger("apprise")
        logger.addHandler(lines)
        try:
            sent = notifier.notify(body=message.body, title=message.title, notify_type=_KINDS[kind])
        except Exception as error:  # a plugin's mistake must not end the thread
            return f"{type(error).__name__} in apprise"
        finally:
            logger.removeHandler(lines)
        return "" if sent else lines.last or "apprise could not deliver it"

    return send


class _Lines(logging.Handler):
    """Keeps apprise's last remark in this thread: it is all that says why nothing was delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self._thread = "", threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()[:300]
