"""Seven discrete actions against one continuous action, on the same budget.

Both contestants learn offline with CQL from the same transitions, with the same hidden layers,
number of critics, batch, discount, learning rate, conservative weight and number of updates: ours
with the continuous orders of the dataset, d3rlpy's ``DiscreteCQL`` with the nearest of the seven
legacy actions. Every ``--every`` updates the greedy policy is validated, and the best one by
Sharpe ratio (collapsed and state-blind ones are no candidates) is judged once, deterministically,
on bars that nothing has seen. A third row executes the continuous policy's actions as the nearest
of the seven: what it adds to them is the learner's doing, not the action space's.

Each seed has a dataset, networks and batches of its own, and is kept on disk when it is done.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Figure, publish

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "runs" / "benchmark-actions"
CONTESTANTS = ("continuous", "discrete", "continuous as seven")
SHOWN = {
    "h_norm": "normalised entropy",
    "occupied": "occupied bins of 21",
    "action_entropy": "entropy of sell, hold, buy",
    "mi_norm": "information about the state",
    "trades_per_1000": "trades per 1,000 steps",
    "sharpe": "Sharpe ratio",
}
UNITS = {"occupied": "bins", "action_entropy": "nats"}
BETTER = 1.2


@dataclass(frozen=True)
class Task:
    """Bars that are cut in three, and the costs on them.

    Attributes:
        market: source of bars.
        train_end, validation_end: last days; what follows is the test.
        commission_bps: None: the simulator's default costs; otherwise the only cost.
    """

    market: str
    train_end: str
    validation_end: str
    commission_bps: float | None = None

    def env(self) -> Any:
        """The training environment."""
        from offline_trader.envs import EnvConfig
        from offline_trader.simulator import SimulatorConfig

        rules = SimulatorConfig()
        if self.commission_bps is not None:
            rules = replace(
                rules, commission_bps=self.commission_bps, half_spread_bps=0.0, slippage_bps=0.0
            )
        return EnvConfig(market=(self.market,), end=self.train_end, simulator=rules)


TASKS = {
    "sp500": Task("sp500", "2012-12-31", "2014-12-31"),
    # the mean-reverting market M3 as hourly bars, at its cost of 40 basis points
    "M3": Task("synthetic:ou?bars=20000&seed=0", "2001-06-30", "2001-10-31", 40.0),
}


@dataclass(frozen=True)
class Budget:
    """What every contestant may spend.

    Attributes:
        transitions: steps of the experts in the dataset.
        updates: gradient steps.
        every: updates between validations.
    """

    transitions: int = 50_000
    updates: int = 3_000
    every: int = 500


Act = Callable[[Any], Any]


@dataclass(frozen=True)
class Contestant:
    """A learner as three functions: some updates, the greedy policy, and its weights to and fro."""

    update: Callable[[int], None]
    act: Act
    snapshot: Callable[[], Any]
    restore: Callable[[Any], None]


def continuous(data: Any, scaler: Any, seed: int) -> Contestant:
    """Our CQL on the orders as they are."""
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.data import Sampler, pack
    from offline_trader.learning.settings import LearnerConfig

    config = LearnerConfig()
    learner = make_learner(config, data.observation_size, scaler, seed)
    learner.fit_reward_scale(data.rewards)
    rows = pack(data, learner.preprocessing)
    sampler = Sampler(rows, batch_size=config.batch_size, seed=seed)

    def update(count: int) -> None:
        with learner.randomness():
            for _ in range(count):
                learner.engine.update(sampler.sample())

    return Contestant(update, learner.act, learner.snapshot, learner.restore)


def discrete(data: Any, scaler: Any, seed: int) -> Contestant:
    """d3rlpy's DiscreteCQL on the nearest of the seven actions."""
    import torch

    from offline_trader.envs import LEGACY_ACTIONS
    from offline_trader.learning.data import fit_reward_scale
    from offline_trader.learning.settings import LearnerConfig
    from offline_trader.networks import import_d3rlpy, make_encoder_factory

    d3rlpy, ours = import_d3rlpy(), LearnerConfig()
    torch.manual_seed(seed)
    algo = d3rlpy.algos.DiscreteCQLConfig(
        batch_size=ours.batch_size,
        gamma=ours.gamma,
        learning_rate=ours.critic_lr,
        encoder_factory=make_encoder_factory(ours.hidden),
        n_critics=ours.n_critics,
        alpha=ours.conservative_weight,
        target_update_interval=round(1.0 / ours.tau),
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(
            mean=np.asarray(scaler.mean), std=np.asarray(scaler.scale), eps=0.0
        ),
    ).create(device="cpu")
    algo.create_impl((data.observation_size,), len(LEGACY_ACTIONS))
    named = as_legacy(data.actions[:, 0], data.observations)[:, None].astype(np.float32)
    scale = fit_reward_scale(data.rewards, ours.reward_scaling)
    rewards = ((data.rewards - scale.mean) / scale.scale).astype(np.float32)[:, None]
    rng = np.random.default_rng(seed)

    def update(count: int) -> None:
        for _ in range(count):
            algo.update(_batch(data, named, rewards, rng.integers(len(data), size=ours.batch_size)))

    def act(observations: Any) -> Any:
        from offline_trader.envs import from_discrete

        chosen = algo.predict(np.asarray(observations, np.float32))
        return from_discrete(chosen, profit_of(observations))[:, None]

    weights = algo.impl.q_function

    def snapshot() -> Any:
        return {name: value.clone() for name, value in weights.state_dict().items()}

    return Contestant(update, act, snapshot, weights.load_state_dict)


def _batch(data: Any, named: Any, rewards: Any, rows: Any) -> Any:
    from d3rlpy.dataset import TransitionMiniBatch

    return TransitionMiniBatch(
        observations=data.observations[rows],
        actions=named[rows],
        rewards=rewards[rows],
        next_observations=data.next_observations[rows],
        next_actions=np.zeros_like(named[rows]),  # DiscreteCQL does not read them
        terminals=data.terminals[rows].astype(np.float32)[:, None],
        intervals=np.ones_like(rewards[rows]),
        transitions=[],
    )


def profit_of(observations: Any) -> Any:
    """[N] the position's profit, from observations [N, O]."""
    from offline_trader.features import observation_layout

    return np.asarray(observations)[:, observation_layout().names.index("unrealised_return")]


def as_legacy(actions: Any, observations: Any) -> Any:
    """[N] the legacy actions nearest to orders [N] that were decided on observations [N, O]."""
    from offline_trader.envs import to_discrete

    return to_discrete(actions, unrealised_return=profit_of(observations))


def rounded(act: Act) -> Act:
    """The policy with its orders replaced by the nearest of the seven."""
    from offline_trader.envs import from_discrete

    def policy(observations: Any) -> Any:
        orders = np.asarray(act(observations)).reshape(len(observations))
        profit = profit_of(observations)
        return from_discrete(as_legacy(orders, observations), profit)[:, None]

    return policy


def train(contestant: Contestant, budget: Budget, validate: Callable[[Act], float]) -> int:
    """Spend the budget; the best policy by validation is put back. Returns its step.

    Where no policy was a candidate the last one stays.
    """
    best, kept, weights = -math.inf, budget.updates, None
    for done in range(budget.every, budget.updates + 1, budget.every):
        contestant.update(budget.every)
        score = validate(contestant.act)
        if math.isfinite(score) and score > best:
            best, kept, weights = score, done, contestant.snapshot()
    if weights is not None:
        contestant.restore(weights)
    return kept


def judged(act: Act, env: Any, seed: int) -> dict[str, Any]:
    """Measures of one deterministic run over the test bars."""
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.evaluation.measures import collapse_of

    run = EvaluationRange.from_env(env).account(act, env.simulator)
    found = collapse_of(run.backtests, seed)
    measures = found.to_dict()
    return {
        **{name: measures[name] for name in ("h_norm", "action_entropy", "mi_norm")},
        "occupied": round(found.diversity * 21),
        "trades_per_1000": found.trades_per_1000,
        "sharpe": run.sharpe,
        "verdicts": list(found.verdicts),
        "steps": found.n,
    }


def run_seed(name: str, budget: Budget, seed: int) -> dict[str, Any]:
    """All contestants of one task and seed, on one dataset."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.datasets import CollectConfig, collect, load_transitions
    from offline_trader.datasets.catalog import dataset_facts
    from offline_trader.pipeline.validation import ValidationConfig, Validator, whole_range

    task, root = TASKS[name], HOME / "datasets"
    env = task.env()
    plan = CollectConfig(
        dataset_id=f"{name.lower()}-{seed}/experts-v0",
        env=env,
        transitions=budget.transitions,
        seed=seed,
    )
    collect(plan, root=root, resume=True)
    data = load_transitions(plan.dataset_id, root)
    scaler = dataset_facts(plan.dataset_id, root).scaler
    config = ValidationConfig(end=task.validation_end, min_trades_per_1000=0.0)
    validator = Validator(config.env(env), config)
    first_test_day = str(np.datetime64(task.validation_end) + 1)
    test = whole_range(replace(env, start=first_test_day, end=None))

    def validate(act: Act) -> float:
        return float(validator(act).measures["score"])

    results: dict[str, Any] = {}
    ours = continuous(data, scaler, seed)
    step = train(ours, budget, validate)
    results["continuous"] = {"step": step, **judged(ours.act, test, seed)}
    results["continuous as seven"] = {"step": step, **judged(rounded(ours.act), test, seed)}
    theirs = discrete(data, scaler, seed)
    step = train(theirs, budget, validate)
    results["discrete"] = {"step": step, **judged(theirs.act, test, seed)}
    return results


def stored(name: str, budget: Budget, seed: int) -> dict[str, Any]:
    """:func:`run_seed`, or what an earlier one of the same settings left on disk."""
    from offline_trader.learning.settings import LearnerConfig
    from offline_trader.runs import atomic_write
    from offline_trader.types import digest

    settings = {"task": asdict(TASKS[name]), "budget": asdict(budget), "seed": seed}
    settings["learner"] = asdict(LearnerConfig())
    path = HOME / f"{name}-{seed}-{digest(settings)[:12]}.json"
    if not path.is_file():
        found = run_seed(name, budget, seed)
        atomic_write(path, json.dumps({**settings, "results": found}, indent=1).encode())
        print(f"{name}, seed {seed}: {found}", file=sys.stderr)
    return dict(json.loads(path.read_text(encoding="utf-8"))["results"])


def figures_of(name: str, seeds: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Interquartile means over the seeds of one task with their bootstrap intervals."""
    from offline_trader.evaluation import seed_summary

    figures = []
    for key, label in SHOWN.items():
        for who in CONTESTANTS:
            values = [float(each[who][key]) for each in seeds]
            found = seed_summary(values, rng=np.random.default_rng(0))
            figures.append(
                Figure(
                    f"{name}, {who}: {label}",
                    found.iqm,
                    UNITS.get(key, ""),
                    interval=found.interval,
                )
            )
    for who in CONTESTANTS:
        bad = sum(bool(each[who]["verdicts"]) for each in seeds)
        figures.append(Figure(f"{name}, {who}: seeds with a collapse verdict", bad, "seeds"))
    return figures + [_advantage(name, key, seeds) for key in ("h_norm", "occupied")]


def _advantage(name: str, key: str, seeds: Sequence[Mapping[str, Any]]) -> Figure:
    """Continuous over discrete: ratio of the interquartile means, seeds resampled in pairs."""
    from offline_trader.evaluation.statistics import interquartile_mean

    pairs = np.array([[each[who][key] for who in CONTESTANTS[:2]] for each in seeds], dtype=float)
    ratio = interquartile_mean(pairs[:, 0]) / interquartile_mean(pairs[:, 1])
    rng = np.random.default_rng(0)
    drawn = pairs[rng.integers(len(pairs), size=(5000, len(pairs)))]
    ratios = [interquartile_mean(d[:, 0]) / max(interquartile_mean(d[:, 1]), 1e-9) for d in drawn]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Figure(
        f"{name}: {SHOWN[key]}, continuous over discrete",
        float(ratio),
        "",
        interval=(float(low), float(high)),
        peer="discrete",
        ratio=float(ratio),
        target=f"> {BETTER:g}",
        holds=bool(ratio > BETTER),
    )


def main() -> None:
    """Run what is missing and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    for field, value in asdict(Budget()).items():
        parser.add_argument(f"--{field}", type=int, default=value)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    budget = Budget(args.transitions, args.updates, args.every)
    figures: list[Figure] = []
    table: dict[str, Any] = {}
    for name in args.tasks:
        rows = [stored(name, budget, seed) for seed in args.seeds]
        table[name] = dict(zip(map(str, args.seeds), rows, strict=True))
        figures += figures_of(name, rows)
    facts = {
        "budget": asdict(budget),
        "tasks": {name: asdict(TASKS[name]) for name in args.tasks},
        "statistic": "interquartile mean over seeds, 95 % bootstrap interval",
        "learners": "CQL (ours, continuous) and DiscreteCQL (d3rlpy), from scratch",
        "seeds": table,
    }
    publish("actions", figures, seeds=args.seeds, facts=facts)


if __name__ == "__main__":
    main()
