"""The settings of alerts, which a person writes as YAML."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from offline_trader.config import load_config, to_dict
from offline_trader.errors import ConfigError
from offline_trader.monitoring.alert_rules import AlertRule, Severity, is_number

__all__ = ["DEFAULT_ALERTS", "AlertSettings", "ChannelSettings", "read_alerts"]

DEFAULT_ALERTS: Mapping[str, AlertRule] = {
    "drawdown": AlertRule("drawdown", above=0.2, clear=0.15, severity="critical"),
    "collapse": AlertRule("collapsed", above=0.5, severity="critical"),
    "halted": AlertRule("risk_state", above=1.5, cooldown_s=0.0, severity="critical"),
    "reducing": AlertRule("risk_state", above=0.5, cooldown_s=600.0),
    "log-broken": AlertRule("broken", above=0.5, cooldown_s=0.0, severity="critical"),
    "daily-loss": AlertRule("daily_loss", above=0.03, clear=0.02),
    "frozen-output": AlertRule("equal_actions", above=100.0),
    "no-action": AlertRule("no_action", above=2.5, clear=0.0),
    "refused-bars": AlertRule("refusals", above=2.5, clear=0.0),
    "silence": AlertRule("silence_s", above=432_000.0),
    "slow-decisions": AlertRule("latency_p99_ms", above=50.0, clear=25.0, for_s=60.0),
    "feature-drift": AlertRule("drifted_features", above=0.5, clear=0.4, cooldown_s=86_400.0),
    "action-drift": AlertRule("action_psi", above=0.25, clear=0.2, cooldown_s=86_400.0),
}
"""What is watched unless the file says otherwise."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}"


@dataclass(frozen=True)
class ChannelSettings:
    """Where alerts go; one of ``url``, ``url_file`` and ``file``.

    Attributes:
        name: of the channel, in the audit log.
        url: of apprise: mail (``mailtos://``), a webhook (``jsons://``), a chat.
        url_file: a file that holds the URL, which its owner alone can read.
        file: each alert is appended to it as a line of JSON.
        least: severity below which nothing is sent.
        give_up_s: how long an alert that cannot be delivered is tried again, in seconds.
    """

    name: str
    url: str = ""
    url_file: Path | None = None
    file: Path | None = None
    least: Severity = "warning"
    give_up_s: float = 86_400.0

    def __post_init__(self) -> None:
        if not re.fullmatch(_NAME, self.name):
            raise ConfigError(f"channel {self.name!r}", expected="letters, digits, dashes")
        if sum([bool(self.url), self.url_file is not None, self.file is not None]) != 1:
            raise ConfigError(
                f"channel {self.name!r} has no place to go to, or several",
                expected="one of url, url_file and file",
            )
        if not (is_number(self.give_up_s) and self.give_up_s >= 0.0):
            raise ConfigError(f"give_up_s is {self.give_up_s!r}", expected="seconds, 0 or more")


@dataclass(frozen=True)
class AlertSettings:
    """What is watched, and who is told.

    Attributes:
        channels: where alerts go; none: they are in the audit log, the metrics and on the page.
        alerts: by name; a file's are laid over :data:`DEFAULT_ALERTS`, key by key.
        health_s: time between two rows about drift and latency in the audit log, in seconds.
    """

    channels: tuple[ChannelSettings, ...] = ()
    alerts: Mapping[str, AlertRule] = field(default_factory=lambda: dict(DEFAULT_ALERTS))
    health_s: float = 60.0

    def __post_init__(self) -> None:
        names = [each.name for each in self.channels]
        if len(set(names)) < len(names):
            raise ConfigError(f"channels {', '.join(names)}", expected="each name once")
        for name in self.alerts:
            if not re.fullmatch(_NAME, name):
                raise ConfigError(f"alert {name!r}", expected="letters, digits, dashes")
        if not (is_number(self.health_s) and self.health_s > 0.0):
            raise ConfigError(f"health_s is {self.health_s!r}", expected="seconds above 0")


def read_alerts(file: Path | None) -> AlertSettings:
    """The settings in ``file`` over the default ones; without a file those.

    Raises:
        ConfigError: no such file, settings that are none, a folder in the place of a channel's
            file, or a URL, which may hold a password, in a file that others can read.
    """
    defaults = {name: to_dict(rule) for name, rule in DEFAULT_ALERTS.items()}
    settings = load_config(AlertSettings, file, base={"alerts": defaults})
    for each in settings.channels:
        if each.file is not None and each.file.is_dir():
            raise ConfigError(
                f"channel {each.name!r}: {each.file} is a folder", expected="a file to append to"
            )
    secret = [each.url_file for each in settings.channels if each.url_file is not None]
    if file is not None and any(each.url for each in settings.channels):
        secret.append(file)
    for place in secret:
        _require_own(place)
    return settings


def _require_own(place: Path) -> None:
    if not place.is_file():
        raise ConfigError(f"no file {place}", expected="a file that holds a channel's URL")
    if os.name == "posix" and place.stat().st_mode & 0o077:
        raise ConfigError(
            f"others can read {place}, which holds a channel's URL",
            expected="the owner alone",
            hint=f"chmod 600 {place}",
        )
