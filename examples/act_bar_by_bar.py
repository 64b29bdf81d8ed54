"""What a production system does with an exported policy: a bar comes, a decision goes.

    python examples/act_bar_by_bar.py runs/demo/export/policy.onnx --market sp500 --bars 20

The session computes the features with the code of training, keeps a paper account by the rules
that the model states, and says what order the action comes to, or why there is none. With a broker,
hand its holdings to ``on_bar`` and send it ``decision.order``.
"""

from __future__ import annotations

import argparse

import numpy as np

from offline_trader.markets import load_market
from offline_trader.serving import Decision, Session


def main(arguments: list[str] | None = None) -> list[Decision]:
    """Walk through the last bars of a market; the decisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--market", default="sp500")
    parser.add_argument("--bars", type=int, default=20)
    options = parser.parse_args(arguments)
    bars = load_market(options.market)
    first = len(bars) - options.bars
    session = Session(options.model).warm_up(bars.slice(0, first))
    decisions = []
    for bar in bars.slice(first, len(bars)):
        decision = session.on_bar(bar)
        order = decision.order
        said = (
            f"hold: {decision.because}" if order is None else f"{order.side} {abs(order.units):.4f}"
        )
        day = np.datetime_as_string(bar.timestamp, unit="D")
        print(f"{day}  equity {decision.portfolio.equity:10.2f}  {said}")
        decisions.append(decision)
    return decisions


if __name__ == "__main__":
    main()
