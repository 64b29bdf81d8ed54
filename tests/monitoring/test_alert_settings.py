"""The YAML of alerts: laid over the default ones, and refused by the name of the key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from offline_trader.errors import ConfigError
from offline_trader.monitoring import (
    DEFAULT_ALERTS,
    AlertRule,
    AlertSettings,
    ChannelSettings,
    read_alerts,
)


def written(place: Path, text: str, mode: int = 0o600) -> Path:
    place.write_text(text, encoding="utf-8")
    place.chmod(mode)
    return place


def test_a_file_changes_the_keys_that_it_names_and_adds_alerts(tmp_path: Path) -> None:
    file = written(
        tmp_path / "alerts.yaml",
        """
        channels:
          - {name: file, file: alerts.jsonl, least: info}
        alerts:
          drawdown: {above: 0.1, clear: 0.05}
          silence: {enabled: false}
          poor: {signal: equity, below: 9000, severity: info}
        """,
    )
    found = read_alerts(file)
    assert found.alerts["drawdown"] == AlertRule(
        "drawdown", above=0.1, clear=0.05, severity="critical"
    )
    assert not found.alerts["silence"].enabled
    assert found.alerts["collapse"] == DEFAULT_ALERTS["collapse"]
    assert found.alerts["poor"].is_beyond(8_999.0)
    assert found.channels[0].file == Path("alerts.jsonl")
    assert dict(read_alerts(None).alerts) == dict(DEFAULT_ALERTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alerts: {drawdown: {abov: 0.1}}", "abov"),
        ("alerts: {own: {above: 0.1}}", "signal"),
        ("alerts: {own: {signal: nothing, above: 0.1}}", "nothing"),
        ("alerts: {drawdown: {severity: bad}}", "severity"),
        ("alerts: {'a b': {signal: equity, below: 1}}", "a b"),
        ("channels: [{name: x}]", "no place"),
        ("channels: [{name: x, url: 'json://a', file: b}]", "several"),
        ("channels: [{name: x, file: a}, {name: x, file: b}]", "x, x"),
        ("channels: [{name: x, url_file: nowhere}]", "nowhere"),
        ("channels: [{name: x, file: .}]", "is a folder"),
        ("[]", "alerts.yaml"),
    ],
)
def test_a_wrong_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        read_alerts(written(tmp_path / "alerts.yaml", text))
    assert message in told.value.found


def test_a_url_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = written(tmp_path / "url", "json://127.0.0.1:1/", 0o644)
    named = "channels: [{name: x, url_file: " + str(secret) + "}]"
    with pytest.raises(ConfigError, match="others can read"):
        read_alerts(written(tmp_path / "alerts.yaml", named, 0o644))
    secret.chmod(0o600)
    assert read_alerts(tmp_path / "alerts.yaml").channels[0].url_file == secret
    text = "channels: [{name: x, url: 'json://u:p@127.0.0.1/'}]"
    inside = written(tmp_path / "more.yaml", text, 0o640)
    with pytest.raises(ConfigError, match="others can read"):
        read_alerts(inside)


def test_times_that_are_none_are_refused() -> None:
    none: list[Any] = [None, "60", math.nan, -1.0]
    for wrong in none:
        with pytest.raises(ConfigError, match="health_s is"):
            AlertSettings(health_s=wrong)
        with pytest.raises(ConfigError, match="give_up_s is"):
            ChannelSettings("file", file=Path("alerts"), give_up_s=wrong)
