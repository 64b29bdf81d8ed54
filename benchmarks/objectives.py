"""Several objectives on M3 as bars: what a step and an update cost, what weights bring.

The policy of a direct stage without limit (two hidden layers of 32, 200 updates on the bars of
``synthetic:ou``, seed 0) goes on with SAC that takes the weights of its objectives as an input
(12,000 steps of 16 lanes). Preferences are judged on 2,500 bars that no training has seen.
Growth and drawdown are those of one account over all of these bars; seeds are trainings.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished
from benchmarks.record import Figure, publish

STEPS = 12_000
NAMED = {
    "profit alone": (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "risk alone": (0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
    "profit and risk": (0.5, 0.5, 0.0, 0.0, 0.0, 0.0),
    "the default": (0.5, 0.2, 0.05, 0.1, 0.05, 0.1),
}


def step_cost() -> float:
    """Seconds of CPU for the components of a step of a lane."""
    from offline_trader.learning.signals import ComponentState

    rng, lanes = np.random.default_rng(0), 256
    facts = 0.02 * rng.standard_normal((200, lanes, 7))
    begins = np.zeros((200, lanes), bool)
    state = ComponentState(lanes)
    state.advance(facts[:1], begins[:1])
    best = np.inf
    for _ in range(5):
        begun = time.process_time()
        for t in range(200):
            state.advance(facts[t : t + 1], begins[t : t + 1])
        best = min(best, time.process_time() - begun)
    return best / (200 * lanes)


def update_costs() -> dict[str, float]:
    """Seconds of CPU for an update of each agent, the best of alternating runs."""
    import torch

    from offline_trader.learning.agents import MultiObjectiveAgent, make_learner
    from offline_trader.learning.data import Batch, RowLayout
    from offline_trader.learning.settings import COMPONENTS, LearnerConfig, ObjectivesConfig

    config = LearnerConfig(algorithm="sac")
    layout = RowLayout(
        37, 1, (("raw_rewards", 1), ("timeouts", 1), ("objectives", len(COMPONENTS)))
    )
    values = torch.randn((config.batch_size, layout.width))
    where = layout.slices()
    values[:, where["actions"]] = values[:, where["actions"]].tanh()
    values[:, where["terminals"]] = 0.0
    values[:, where["intervals"]] = 1.0
    batch = Batch(values, layout)
    stock = LearnerConfig(algorithm="sac", engine="stock")
    agents: dict[str, Any] = {
        "update of SAC": make_learner(config, 37, seed=0),
        "update of SAC by d3rlpy": make_learner(stock, 37, seed=0),
        "update with six objectives": MultiObjectiveAgent(
            make_learner(config, 37, seed=0), ObjectivesConfig("fixed"), 0
        ),
    }
    best = dict.fromkeys(agents, np.inf)
    for _ in range(4):
        for name, agent in agents.items():
            begun = time.process_time()
            agent.update([batch] * 50)
            best[name] = min(best[name], (time.process_time() - begun) / 50)
    return {name: float(value) for name, value in best.items()}


def trained(seed: int) -> list[tuple[str, list[float], float, float]]:
    """Name, weights, growth a year and largest drawdown of every preference."""
    from benchmarks.method_markets import scales_of
    from offline_trader.evaluation.backtest import backtest
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, ou_tensor
    from offline_trader.learning.agents import MultiObjectiveAgent, goal_learner, make_learner
    from offline_trader.learning.settings import (
        COMPONENTS,
        DirectConfig,
        ObjectivesConfig,
        OnlineConfig,
        SACConfig,
    )
    from offline_trader.learning.stages import finetune
    from offline_trader.learning.stages.direct import BarMarket, train_direct
    from offline_trader.markets.synthetic import OuMarket
    from offline_trader.simulator import Simulator

    market = ou_tensor(OuMarket(seed=0))
    config = SACConfig(
        hidden=(32, 32),
        gamma=0.97,
        batch_size=128,
        initial_temperature=0.02,
        temp_lr=0.0,
    )
    parent = make_learner(config, market.layout.size, scales_of(market), seed=seed)
    train_direct(parent, BarMarket(market, OU_RULES), DirectConfig(updates=200), seed=seed)
    learner = goal_learner(parent, config, np.ones(len(COMPONENTS)), seed)
    objectives = ObjectivesConfig("given")
    agent = MultiObjectiveAgent(learner, objectives, seed)
    lanes = Simulator(market, OU_RULES, 16, episode_bars=250, random_start=True, seed=seed)
    online = OnlineConfig(
        steps=STEPS, critic_updates=500, evaluate_interval=0, objectives=objectives
    )
    finetune(agent, lanes, None, online, seed=seed)
    policy: Any = agent.policy()
    drawn = agent.preference.drawn(16, np.random.default_rng(0))
    asked = {**NAMED, **{f"drawn {i}": tuple(row) for i, row in enumerate(drawn.tolist())}}
    tensor = ou_tensor(OuMarket(bars=2_500, seed=1_000_003))
    rows = []
    for name, weights in (*asked.items(), ("the direct stage", None)):
        acting = parent.act if weights is None else policy.preferring(weights)
        equity = np.log(backtest(acting, tensor, OU_RULES).equity)
        growth = 252.0 * (equity[-1] - equity[0]) / (len(equity) - 1)
        fall = -np.expm1(-(np.maximum.accumulate(equity) - equity).max())
        rows.append((name, list(weights or ()), float(growth), float(fall)))
    return rows


def picture(rows: list[Any], path: Path) -> None:
    """The front of one training, as the report shows it."""
    from offline_trader.evaluation.judging import PreferencePoint, not_dominated
    from offline_trader.evaluation.report.pareto import pareto_chart
    from offline_trader.evaluation.report.png import png_bytes

    known = [row for row in rows if row[1]]
    growth, fall = (np.array([row[i] for row in known]) for i in (2, 3))
    points = tuple(
        PreferencePoint("default" if name == "the default" else name, tuple(w), g, d, bool(front))
        for (name, w, g, d), front in zip(known, not_dominated(growth, fall), strict=True)
    )
    others = {row[0]: (row[2], row[3]) for row in rows if not row[1]}
    path.write_bytes(png_bytes(pareto_chart(points, others), "on M3 as bars, bars not trained on"))


def main() -> None:
    """Train, judge, publish."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--picture", type=Path, help="draw the front of the first seed here")
    args = parser.parse_args()
    kept = Finished(args.cache)
    cost = kept.get(["step"], step_cost)
    updates = kept.get(["updates"], update_costs)
    found = {
        seed: kept.get(["trained", STEPS, seed], partial(trained, seed)) for seed in args.seeds
    }
    figures = [
        Figure("components: a step of a lane", cost, "s", target="< 1 µs", holds=cost < 1e-6),
        *(Figure(name, value, "s") for name, value in updates.items()),
    ]
    for name in (*NAMED, "the direct stage"):
        rows = [row for each in found.values() for row in each if row[0] == name]
        for what, place in (("growth a year", 2), ("largest drawdown", 3)):
            values = [row[place] for row in rows]
            interval = (float(min(values)), float(max(values)))
            figures.append(Figure(f"{name}: {what}", float(np.mean(values)), "", interval))
    calm, keen = ({f.name: f.value for f in figures}[f"{name}: largest drawdown"]
                  for name in ("risk alone", "profit alone"))  # fmt: skip
    figures.append(
        Figure("drawdown under risk alone, share of that under profit alone", calm / keen, "",
               target="< 1", holds=calm < keen)
    )  # fmt: skip
    if args.picture is not None:
        picture(found[args.seeds[0]], args.picture)
    publish("objectives", figures, seeds=args.seeds, facts={"preferences": found})


if __name__ == "__main__":
    main()
