"""What feeds a served model: bars from a CSV, the past first, then one after the other.

    python examples/feed_a_server.py prices.csv --token-file token --last 20

Sends every bar but the last ones to ``/v1/warm-up`` where the desk has seen none, and each of the
last ones to ``/v1/decide``; prints the orders. Needs nothing but Python. A feed of your own does
the same with your broker's bars, sends the orders there, and what it holds as ``holdings``.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PRICES = ("open", "high", "low", "close")
_WARM_UP_ROWS = 1_000
_PATIENCE_S = 20.0


class Server:
    """A server, and what it is asked."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._headers = url, {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer; a refusal ends the program with the server's words."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.code} {error.read().decode()}") from error
        except OSError as error:
            raise SystemExit(f"{self._url}{path}: {error}; does the server run?") from error

    def wait(self) -> None:
        """Until the server answers, which takes a moment after its start."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self._url}/healthz", timeout=5).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)


def bars_in(file: Path) -> list[dict[str, Any]]:
    """The rows of a CSV with time (or timestamp, date), open, high, low, close and volume."""
    try:
        with file.open(newline="", encoding="utf-8") as rows:
            table = list(csv.DictReader(rows))
    except OSError as error:
        raise SystemExit(f"{file}: {error.strerror}") from error
    bars = []
    for number, given in enumerate(table, start=2):
        row = {str(key).strip().lower(): text for key, text in given.items()}
        try:
            text = row.get("time") or row.get("timestamp") or row["date"]
            moment = datetime.fromisoformat(text.strip())
            prices = {name: float(row[name]) for name in _PRICES}
            volume = float(row.get("volume") or 0.0)
        except (KeyError, TypeError, ValueError) as error:
            raise SystemExit(
                f"{file} line {number}: {error}; a row has time (or timestamp, date), "
                f"{', '.join(_PRICES)} and volume"
            ) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        bars.append({"time": moment.isoformat(), **prices, "volume": volume})
    return bars


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Feed the server; its answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--instrument")
    parser.add_argument("--last", type=int, default=1, help="bars to decide on")
    options = parser.parse_args(arguments)
    try:
        token = "" if options.token_file is None else options.token_file.read_text("utf-8").strip()
    except OSError as error:
        raise SystemExit(f"{options.token_file}: {error.strerror}") from error
    server, bars = Server(options.url, token), bars_in(options.prices)
    server.wait()
    name = {} if options.instrument is None else {"instrument": options.instrument}
    past, last = bars[: -options.last], bars[-options.last :]
    desks = server.ask("/v1/desks")["desks"]
    found = [each for each in desks if options.instrument in (None, each["instrument"])]
    if not found:
        names = ", ".join(each["instrument"] for each in desks)
        raise SystemExit(f"no instrument {options.instrument}; the server has {names}")
    desk = found[0]
    if desk["bars_seen"] == 0:
        for first in range(0, len(past), _WARM_UP_ROWS):
            server.ask("/v1/warm-up", {**name, "bars": past[first : first + _WARM_UP_ROWS]})
    answers = []
    for bar in last:
        answer = server.ask("/v1/decide", {**name, "bars": [bar]})["answers"][0]
        order, equity = answer["order"], answer["portfolio"]["equity"]
        said = f"{order['side']} {order['units']:.4f}" if order else "hold"
        why = "; ".join([*answer["reasons"], answer["because"]]).strip("; ")
        print(f"{bar['time']}  equity {equity:10.2f}  {said}  {why}")
        answers.append(answer)
    return answers


if __name__ == "__main__":
    main()
