"""Steps a second of the simulator, its environment and its column backtest, against peers.

Every contestant is a process of its own on the same pinned core; all prepare themselves first, then
take turns, so that whatever else the machine does hits them alike. A turn is cut into blocks of a
few milliseconds (one call at least); the best block of all turns counts, by processor time, the
same for everybody: all are single-threaded and never wait, so that this is the clock's rate on a
core of their own, also where the machine is shared. The interval is the worst and the best turn by
their best blocks. The best and mean rates by the clock are in the facts.

The job: 10,000 bars, 32 features, 4,096 lanes, random actions, episodes of 1,000 steps with random
starts; commission, spread and slippage; log reward; observation of 37 numbers. Peers run in the
environments that ``make bench-peers`` builds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, publish
from benchmarks.simulator_contestants import RULES

ROOT = Path(__file__).resolve().parents[1]
BARS, FEATURES, LANES, SEED = 10_000, 32, 4096, 0
SIZES = (1, 64, 1024, 16_384)
MAIN = "Simulator.step, 4,096 lanes"
ENV = "TradingEnv.step"
COLUMNS = "simulate_actions, 1,000 columns"
BARE = "bare kernel, 4,096 lanes"


@dataclass
class Contestant:
    """A process that takes turns, and what its turns gave.

    Attributes:
        name: in the table.
        command: without the pinning.
        turns: answers, see ``benchmarks/peers/turns.py``.
    """

    name: str
    command: list[str]
    turns: list[dict[str, float]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def start(self, core: int) -> None:
        """Start on one core and wait until it is ready."""
        threads = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
        )
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **threads},
        )
        self._wait_for("ready")

    def _wait_for(self, word: str) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word):
                return line
        raise SystemExit(f"{self.name} ended without an answer; its messages are above")

    def turn(self, seconds: float) -> None:
        """Let it work once."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        self.turns.append(json.loads(self._wait_for("{")))

    def stop(self) -> None:
        """End the process."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    @property
    def best(self) -> float:
        """Rate of the best block of all turns."""
        return max(turn["best_by_processor"] for turn in self.turns)

    @property
    def interval(self) -> tuple[float, float]:
        """The best blocks of the worst and the best turn."""
        best = [turn["best_by_processor"] for turn in self.turns]
        return min(best), max(best)


def write_market(path: Path, width: int = FEATURES) -> None:
    """A seeded random walk with overnight gaps, and standard normal features."""
    rng = np.random.default_rng(SEED)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, BARS)))
    open_ = close * np.exp(rng.normal(0.0, 0.003, BARS))
    high, low = np.maximum(open_, close) * 1.002, np.minimum(open_, close) * 0.998
    prices = np.stack([open_, high, low, close, rng.uniform(1e5, 1e6, BARS)], axis=1)
    np.savez(path, prices=prices, features=rng.normal(size=(BARS, width)).astype(np.float32))


def peer_python(environment: str) -> str:
    """Interpreter of a peers' environment."""
    python = ROOT / ".bench-peers" / environment / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"no .bench-peers/{environment}: run `make bench-peers` first")
    return str(python)


def contestants(market: str) -> list[Contestant]:
    """Everybody, ours and the peers, in the order of their turns."""
    ours = [sys.executable, "-m", "benchmarks.simulator_contestants"]
    peers = ROOT / "benchmarks" / "peers"
    gym = [peer_python("trading-envs"), str(peers / "trading_envs.py")]
    torch = [peer_python("torchtrade"), str(peers / "torchtrade_vectorised.py")]
    rest = [name for name in RULES if name != "orders"]
    return [
        Contestant(MAIN, [*ours, "simulator", market, "orders", str(LANES)]),
        Contestant(BARE, [*ours, "bare", market, str(LANES)]),
        Contestant("TorchTrade 0.1.0 vectorised", [*torch, "public", str(LANES), market]),
        Contestant("TorchTrade's inner _step", [*torch, "inner", str(LANES), market]),
        Contestant(ENV, [*ours, "trading-env", market]),
        Contestant("gym-anytrading 2.0.0", [*gym, "gym-anytrading", market]),
        Contestant("gym-trading-env 0.3.5", [*gym, "gym-trading-env", market]),
        Contestant(COLUMNS, [*ours, "columns", market]),
        Contestant("vectorbt 1.2 from_orders with measures", [*ours, "vectorbt", market]),
        *(
            Contestant(
                f"Simulator.step, {n:,} lanes", [*ours, "simulator", market, "orders", str(n)]
            )
            for n in SIZES
        ),
        *(
            Contestant(f"4,096 lanes, {r}", [*ours, "simulator", market, r, str(LANES)])
            for r in rest
        ),
    ]


def figures(found: list[Contestant]) -> list[Figure]:
    """The figures, with targets where one was asked for."""
    by_name = {one.name: one for one in found}
    torch, anytrading, trading_env, vectorbt = (
        next(one for one in found if one.name.startswith(name))
        for name in ("TorchTrade 0", "gym-anytrading", "gym-trading-env", "vectorbt")
    )
    main, bare, env, columns = (by_name[name] for name in (MAIN, BARE, ENV, COLUMNS))

    def against(ours: Contestant, peer: Contestant, least: float, target: str) -> Figure:
        ratio = ours.best / peer.best
        return Figure(
            f"{ours.name} vs {peer.name}", ratio, "×", peer=peer.name, ratio=ratio,
            target=target, holds=ratio >= least if least else None,
        )  # fmt: skip

    def rate(one: Contestant, least: float = 0.0, target: str = "") -> Figure:
        holds = one.best >= least if least else None
        return Figure(one.name, one.best, "1/s", one.interval, target=target, holds=holds)

    fastest = max((torch, anytrading, trading_env), key=lambda one: one.best)
    share = main.best / bare.best
    listed = [
        rate(main, 25e6, "≥ 25e6"),
        against(main, fastest, 20.0, "≥ 20"),
        rate(bare),
        Figure("share of the bare kernel", share, "", target="≥ 0.8", holds=share >= 0.8),
        rate(env, 3e5, "≥ 3e5"),
        against(env, anytrading, 1.2, "≥ 1.2"),
        against(env, trading_env, 0.0, ""),
        rate(columns, 20e6, "≥ 20e6"),
        against(columns, vectorbt, 10.0, "≥ 10"),
    ]
    named = {figure.name for figure in listed}
    return listed + [rate(one) for one in found if one.name not in named]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of a turn")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        market = Path(folder) / "market.npz"
        write_market(market)
        found = contestants(str(market))
        for one in found:
            one.start(options.core)
        for _ in range(options.rounds):
            for one in found:
                one.turn(options.seconds)
        for one in found:
            one.stop()
    facts = {
        "bars": BARS, "features": FEATURES, "lanes": LANES, "rounds": options.rounds,
        "seconds_a_turn": options.seconds, "pinned_cores": 1,
        "statistic": "best block of all turns, by processor time",
        "best_block_by_clock": {one.name: max(t["best"] for t in one.turns) for one in found},
        "mean_by_clock": {
            one.name: float(np.mean([t["mean"] for t in one.turns])) for one in found
        },
        "mean_by_processor": {
            one.name: float(np.mean([t["mean_by_processor"] for t in one.turns])) for one in found
        },
    }  # fmt: skip
    publish("simulator", figures(found), seeds=[SEED], facts=facts)


if __name__ == "__main__":
    main()
