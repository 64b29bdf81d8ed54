"""What a production system does with an exported policy: a bar comes, an action goes.

    python examples/act_bar_by_bar.py runs/demo/export/policy.onnx --market sp500 --bars 20

Needs onnxruntime, not torch. Features are computed bar by bar, equal to those of the training; the
portfolio part of the observation comes from the account. Here a paper account fills every order at
the next open without costs; in production it is the broker's.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import numpy as np

from offline_trader.export import OnnxPolicy
from offline_trader.features import StreamingFeatures, observation_layout
from offline_trader.markets import load_market


@dataclass
class Account:
    """A paper account that knows what an observation says of it."""

    cash: float = 10_000.0
    units: float = 0.0
    entry: float = 0.0
    bars_held: int = 0
    peak: float = 10_000.0

    def order(self, action: float, price: float) -> None:
        """Buy for a share of the cash, or sell a share of the units; below 0.1 is a hold."""
        if abs(action) < 0.1:
            return
        units = action * (self.cash / price if action > 0.0 else self.units)
        held = self.units + units
        if units > 0.0:
            self.entry = (self.units * self.entry + units * price) / held
        self.cash -= units * price
        self.bars_held = 0 if self.units == 0.0 else self.bars_held
        self.units = held

    def mark(self, close: float) -> list[float]:
        """Exposure, unrealised return, hold time, drawdown, smoothed action at a close."""
        self.bars_held = self.bars_held + 1 if self.units > 0.0 else 0
        equity = self.cash + self.units * close
        self.peak = max(self.peak, equity)
        gain = math.log(close / self.entry) if self.units > 0.0 else 0.0
        hold_time = math.log(1 + self.bars_held) / math.log(253)
        return [self.units * close / equity, gain, hold_time, equity / self.peak - 1.0, 0.0]


def main(arguments: list[str] | None = None) -> list[float]:
    """Walk through the last bars of a market; the actions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--market", default="sp500")
    parser.add_argument("--bars", type=int, default=20)
    options = parser.parse_args(arguments)
    policy = OnnxPolicy(options.model, expected_layout=observation_layout())
    bars = load_market(options.market)
    first = len(bars) - options.bars
    stream = StreamingFeatures.after(bars.slice(0, first))
    account, action, actions = Account(), 0.0, []
    for row in range(first, len(bars)):
        if row > first:
            account.order(action, float(bars.open[row]))
        portfolio = account.mark(float(bars.close[row]))
        features = stream.update(bars[row])
        observation = np.array([[*features, *portfolio]], dtype=np.float32)
        action = float(policy(observation)[0, 0])
        actions.append(action)
        day = np.datetime_as_string(bars.timestamps[row], unit="D")
        print(f"{day}  exposure {portfolio[0]:6.3f}  action {action:+.3f}")
    return actions


if __name__ == "__main__":
    main()
