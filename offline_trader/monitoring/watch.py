"""The watch: looks at every desk between decisions, raises alerts, writes down drift and latency.

It runs on the server's thread, so desks need no lock; what takes long (drift, delivery) is done in
other threads. Alerts, and what became of them, are rows of the desk's audit log, from which a watch
that begins anew reads what is firing and what was never delivered.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.errors import DataError, OfflineTraderError
from offline_trader.monitoring.alert_rules import AlertState, Event, judge
from offline_trader.monitoring.channels import Message
from offline_trader.monitoring.drift import (
    LEAST,
    DriftReport,
    TrainingSummary,
    drift_from,
    summary_beside,
)
from offline_trader.monitoring.signals import SIGNALS, Seen, signals_of

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy
    from offline_trader.monitoring.alert_settings import AlertSettings
    from offline_trader.monitoring.delivery import Delivery, Outcome
    from offline_trader.serving import Answer, Decision, Desk

__all__ = ["BUCKETS_S", "Watch"]

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram of the time of a decision, seconds."""
_LOG = logging.getLogger("offline_trader.monitoring")
_MISTAKE = "the watch made a mistake, and goes on"


class Watch:
    """Looks at desks; see :class:`offline_trader.serving.http_routes.Watcher`.

    Args:
        desks: by the name of their instrument.
        settings: of the alerts.
        delivery: to people; None: to nobody.
        summary_of: what a model's manifest says of its training, where it does.
        every_s: time between two looks.
        clock: the moment, seconds since 1970.
    """

    def __init__(
        self,
        desks: Mapping[str, Desk],
        settings: AlertSettings,
        delivery: Delivery | None = None,
        summary_of: Callable[[OnnxPolicy], TrainingSummary | None] = summary_beside,
        *,
        every_s: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._desks, self._settings, self._delivery = dict(desks), settings, delivery
        self._summary_of = summary_of
        self._summaries: dict[str, TrainingSummary | None] = {}
        self._every_s, self._clock = every_s, clock
        self._rules = {n: rule for n, rule in settings.alerts.items() if rule.enabled}
        self._seen = {name: Seen() for name in desks}
        self._states: dict[tuple[str, str], AlertState] = {}
        self._signals: dict[str, dict[str, float]] = {name: {} for name in desks}
        self._buckets = {name: [0] * (len(BUCKETS_S) + 1) for name in desks}
        self._sums = dict.fromkeys(desks, 0.0)
        self._measured = dict.fromkeys(desks, (0, -math.inf))
        self._undelivered = 0
        for name, desk in desks.items():
            self._remember(name, desk)

    @property
    def firing(self) -> list[tuple[str, str]]:
        """(instrument, alert) of what is raised now."""
        return [place for place, state in self._states.items() if state.firing]

    def decided(self, instrument: str, answer: Answer, seconds: float) -> None:
        """Count a decision."""
        self._seen[instrument].decided(seconds)
        self._sums[instrument] += seconds
        self._buckets[instrument][bisect_left(BUCKETS_S, seconds)] += 1

    def refused(self, instrument: str) -> None:
        """Count a bar that was refused."""
        self._seen[instrument].refusals += 1

    async def run(self) -> None:
        """Look at every desk twice a second until it is cancelled."""
        pause = self._every_s / len(self._desks)
        while True:
            try:
                await self.measure()
            except Exception:
                _LOG.exception(_MISTAKE)
            for name in self._desks:  # apart: a decision waits for one desk's look at most
                try:
                    self.look([name])
                except Exception:
                    _LOG.exception(_MISTAKE)
                await asyncio.sleep(pause)

    async def measure(self) -> None:
        """Compare with training and write it down, where there were decisions and it is time."""
        for name, desk in self._desks.items():
            count, at = self._measured[name]
            now = self._clock()
            seen = self._seen[name]
            known = count < LEAST <= seen.decisions  # for the first time
            too_soon = 0.0 <= now - at < self._settings.health_s
            if count == seen.decisions or (too_soon and not known):
                continue
            self._measured[name] = (seen.decisions, now)
            seen.drift = await self._drift(desk)
            self._signals[name] = signals_of(desk, seen, now)
            self._record(desk, "health", self._health(name, now))
            await asyncio.sleep(0)  # decisions wait for one row, and not for all

    async def _drift(self, desk: Desk) -> DriftReport | None:
        """Of the decisions of the model in force."""
        sha256 = desk.model_sha256
        if sha256 not in self._summaries:
            self._summaries[sha256] = self._read_summary(desk.model)
        summary = self._summaries[sha256]
        if summary is None:
            return None
        rows = list(desk.recent)
        others = max(0, len(rows) - desk.decided_in_force)
        return await asyncio.to_thread(_drift, summary, rows[others:])

    def _read_summary(self, model: OnnxPolicy) -> TrainingSummary | None:
        try:
            return self._summary_of(model)
        except DataError as error:
            _LOG.error("no drift is told: %s", error.found)
            return None

    def look(self, instruments: Iterable[str] | None = None) -> None:
        """Raise and clear alerts, and write down what was delivered.

        Args:
            instruments: that are looked at; None: all.
        """
        now = self._clock()
        for name in self._desks if instruments is None else instruments:
            desk = self._desks[name]
            signals = self._signals[name] = signals_of(desk, self._seen[name], now)
            for alert, rule in self._rules.items():
                place = name, alert
                before = self._states.get(place, AlertState())
                self._states[place], event = judge(rule, before, signals.get(rule.signal), now)
                if event is not None:
                    self._happened(place, event, signals[rule.signal], now)
        for outcome in [] if self._delivery is None else self._delivery.outcomes():
            self._delivered(outcome, now)

    def exposition(self) -> str:
        """Alerts, signals, and a histogram of latency in Prometheus' text format."""
        alerts = [
            ({"instrument": n, "alert": a, "severity": rule.severity}, self._is_firing(n, a))
            for n in self._desks
            for a, rule in self._rules.items()
        ]
        signals = [
            ({"instrument": n, "signal": signal}, value)
            for n, found in self._signals.items()
            for signal, value in found.items()
        ]
        waiting = 0 if self._delivery is None else self._delivery.waiting
        return "".join(
            [
                _metric("alert_firing", "gauge", "1: raised, and not ended", alerts),
                _metric("signal", "gauge", "what alerts are judged by", signals),
                _metric("alerts_waiting", "gauge", "to be delivered", [({}, waiting)]),
                _metric(
                    "alerts_undelivered_total", "counter", "given up", [({}, self._undelivered)]
                ),
                self._histogram(),
            ]
        )

    def _histogram(self) -> str:
        rows: list[tuple[str, Mapping[str, str], float]] = []
        for name, counts in self._buckets.items():
            total = 0
            for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], counts, strict=True):
                total += count
                rows.append(("_bucket", {"instrument": name, "le": bound}, total))
            rows.append(("_sum", {"instrument": name}, self._sums[name]))
            rows.append(("_count", {"instrument": name}, total))
        lines = [f"offline_trader_decide_seconds{_sample(s, labels, x)}" for s, labels, x in rows]
        return _head("decide_seconds", "histogram", "time of a decision") + "".join(lines)

    def _is_firing(self, instrument: str, alert: str) -> float:
        return float(self._states.get((instrument, alert), AlertState()).firing)

    def _happened(self, place: tuple[str, str], event: Event, value: float, now: float) -> None:
        instrument, alert = place
        rule, desk = self._rules[alert], self._desks[instrument]
        message = Message(
            alert=alert,
            instrument=instrument,
            event=event.kind,
            severity=rule.severity,
            text=_words(rule.signal, value, rule.above, rule.below),
            time=_iso(now),
        )
        _LOG.warning("%s: %s", message.title, message.text)
        row = self._record(
            desk,
            "alert",
            {
                **vars(message),
                "value": value,
                "threshold": rule.threshold,
                "told": event.tell,
                "now": now,
            },
        )
        if event.tell and self._delivery is not None:
            self._delivery.send(message, row)

    def _delivered(self, outcome: Outcome, now: float) -> None:
        self._undelivered += bool(outcome.reason)
        desk = self._desks.get(outcome.message.instrument)
        if desk is not None:
            self._record(
                desk,
                "alert",
                {
                    "alert": outcome.message.alert,
                    "event": "undelivered" if outcome.reason else "delivered",
                    "channel": outcome.channel,
                    "reason": outcome.reason,
                    "tries": outcome.tries,
                    "of": outcome.row,
                    "now": now,
                },
            )

    def _record(self, desk: Desk, kind: str, content: Mapping[str, Any]) -> int:
        """The number of the row; 0 where none could be written, which is an alert of its own."""
        try:
            return desk.record(kind, content)
        except OfflineTraderError as error:
            _LOG.error("not in the audit log: %s", error.found)
            return 0

    def _remember(self, name: str, desk: Desk) -> None:
        """Take from the log what is firing, and send what was raised but never delivered."""
        last: dict[str, tuple[int, Mapping[str, Any]]] = {}
        told: dict[str, float] = {}
        done: set[tuple[int, str]] = set()
        for entry in desk.log.entries("alert"):
            row = entry.content
            if row["event"] in ("raised", "cleared"):
                last[row["alert"]] = entry.number, row
                if row["event"] == "raised" and row["told"]:
                    told[row["alert"]] = float(row["now"])
            else:
                done.add((int(row["of"]), str(row["channel"])))
        for alert, (number, row) in last.items():
            fires = row["event"] == "raised"
            if fires and alert not in self._rules:
                self._drop(desk, row)
                continue
            self._states[name, alert] = AlertState(
                firing=fires,
                since=float(row["now"]) if fires else None,
                told=fires and bool(row["told"]),
                told_at=told.get(alert),
            )
            if row["told"] and self._delivery is not None:
                message = Message(**{key: row[key] for key in Message.__dataclass_fields__})
                for channel in self._delivery.channels:
                    if (number, channel.settings.name) not in done:
                        self._delivery.send(message, number, only=channel.settings.name)

    def _drop(self, desk: Desk, raised: Mapping[str, Any]) -> None:
        """End an alert that nobody watches any more: on the page it would be raised for good."""
        now = self._clock()
        text = "it is not among the alerts in force any more"
        ended = {"event": "cleared", "text": text, "time": _iso(now), "told": False, "now": now}
        self._record(desk, "alert", {**raised, **ended})

    def _health(self, name: str, now: float) -> dict[str, Any]:
        seen = self._seen[name]
        seconds = np.array(seen.seconds)
        quantiles = np.quantile(seconds, [0.5, 0.99, 1.0]) if len(seconds) else [None] * 3
        return {
            "now": now,
            "decisions": seen.decisions,
            "latency_s": dict(zip(("p50", "p99", "max"), quantiles, strict=True)),
            "signals": self._signals[name],
            "drift": seen.drift,
        }


def _drift(summary: TrainingSummary, rows: Iterable[Decision]) -> DriftReport | None:
    asked = [each for each in rows if each.action is not None]
    observations = np.array([each.observation for each in asked], dtype=np.float64)
    actions = np.array([each.action for each in asked], dtype=np.float64)
    return drift_from(summary, observations, actions)


def _words(signal: str, value: float, above: float | None, below: float | None) -> str:
    way = f"above {above:g}" if above is not None else f"below {below:g}"
    return f"{signal} is {value:.6g}, raised {way} ({SIGNALS[signal]})"


def _iso(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")


def _head(name: str, kind: str, help_text: str) -> str:
    return f"# HELP offline_trader_{name} {help_text}\n# TYPE offline_trader_{name} {kind}\n"


def _metric(
    name: str, kind: str, help_text: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> str:
    lines = [f"offline_trader_{name}{_sample('', labels, x)}" for labels, x in samples]
    return _head(name, kind, help_text) + "".join(lines)


def _sample(suffix: str, labels: Mapping[str, str], value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{suffix}{{{inner}}} {value:.17g}\n" if inner else f"{suffix} {value:.17g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
