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
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_PRICES = ("open", "high", "low", "close")
_WARM_UP_ROWS = 1_000


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


def bars_in(file: Path) -> list[dict[str, Any]]:
    """The rows of a CSV with time (or timestamp, date), open, high, low, close and volume."""
    with file.open(newline="", encoding="utf-8") as rows:
        table = [
            {key.strip().lower(): text for key, text in row.items()} for row in csv.DictReader(rows)
        ]
    bars = []
    for row in table:
        time = (row.get("time") or row.get("timestamp") or row["date"]).strip().replace(" ", "T")
        time = f"{time}T00:00:00Z" if len(time) == 10 else time if time[-1] == "Z" else f"{time}Z"
        prices = {name: float(row[name]) for name in _PRICES}
        bars.append({"time": time, **prices, "volume": float(row.get("volume") or 0.0)})
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
    token = options.token_file.read_text(encoding="utf-8").strip() if options.token_file else ""
    server, bars = Server(options.url, token), bars_in(options.prices)
    name = {} if options.instrument is None else {"instrument": options.instrument}
    past, last = bars[: -options.last], bars[-options.last :]
    desks = server.ask("/v1/desks")["desks"]
    desk = next(each for each in desks if options.instrument in (None, each["instrument"]))
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
