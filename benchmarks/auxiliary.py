"""What auxiliary pretraining adds to a clone of few expert steps, where structure is planted.

Two markets. In that of ``benchmarks.hidden_direction`` one direction of 128 features tells a share
of the next return, and a teacher who knows it has acted on less than a tenth of the bars: 250 of
6,250. The clone's labels are these few; the auxiliary stage, its head of the next return alone,
also sees every bar of the training range, without an answer of the teacher. Beside the clone of 300
updates stand one of 900, as many as auxiliary stage and clone have together, and one after an
auxiliary stage with all its heads. The score is 100 · net log growth ÷ the teacher's, on bars that
no training has met. Settings were tried on seeds 50 to 52.

The other is M3 as bars (``synthetic:ou``: the log price reverts, 40 bp a side), seen through the
32 features. A teacher who knows the future (``oracle``) trades 2,000 steps, where ``collect`` takes
100,000 by default. Two trainings of the same seed learn from them: ``pretrain --stages bc`` and
``--stages aux,bc``. The clone takes 200 updates: with the 3,000 of ``pretrain`` it knows so few
steps by heart, whatever it began with. The score is 100 · net log growth ÷ that of the optimal
band, on paths that no training has met (``known-optimum M3-bars``).

All else is as in ``pretrain``. Intervals are Student's, those of differences over paired seeds.
Directional accuracy is that of the head of the next return on the last fifth of the training bars.
The best filter knows the direction, or on M3 the deviation y: it is right with probability ½ +
arctan(ρ)/π, ρ the ratio of the foretold part of a return to its shock. Finished seeds are kept in
``--cache``.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished
from benchmarks.hidden_direction import FEATURES
from benchmarks.record import Figure, publish, student_interval

STEPS, BARS = 2_000, 12_000
SCORED, PATHS = 20_000, 10
SEEDS = tuple(range(60, 70))
CLONED = 200
PLAIN, PRETRAINED = "clone of few steps", "auxiliary tasks, then clone of few steps"
ARMS = {PLAIN: ("clone",), PRETRAINED: ("auxiliary", "clone")}

LABELS, HIDDEN_BARS, HIDDEN_SCORED = 250, 6_250, 2_500
EPISODE = 50
TAUGHT, PREPARED = 300, 600
FEW, LONGER = "clone of few labels", "clone of few labels, as many updates"
LIFTED = "next return, then clone of few labels"
ALL_HEADS = "all auxiliary tasks, then clone of few labels"
HIDDEN_ARMS: dict[str, tuple[int, tuple[str, ...], int]] = {
    FEW: (LABELS, ("clone",), TAUGHT),
    LONGER: (LABELS, ("clone",), TAUGHT + PREPARED),
    LIFTED: (LABELS, ("auxiliary", "clone"), TAUGHT),
    ALL_HEADS: (LABELS, ("auxiliary", "clone"), TAUGHT),
}
"""Steps of the teacher, stages, updates of the clone."""


def train(seed: int) -> dict[str, dict[str, Any]]:
    """M3 as bars, of each arm: score, seconds, and what the heads came to."""
    import torch

    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, score_on_bars
    from offline_trader.learning.settings import CloneConfig
    from offline_trader.markets.synthetic import OuMarket
    from offline_trader.pipeline.settings import LineConfig
    from offline_trader.pipeline.trained_runs import trained_policy

    torch.set_num_threads(1)
    line = LineConfig(
        env=EnvConfig(
            market=(f"synthetic:ou?seed={seed}&bars={BARS}",), simulator=OU_RULES, episode_bars=200
        ),
        experts=("oracle",),
        transitions=STEPS,
        clone=CloneConfig(updates=CLONED),
        seed=seed,
    )

    def score(run: Any) -> float:
        law = replace(OuMarket(), bars=SCORED, seed=1_000_003 + 1_000 * seed)
        return float(score_on_bars(trained_policy(run), law, n_paths=PATHS).value)

    found = {}
    with tempfile.TemporaryDirectory(prefix="offline-trader-") as folder:
        root = Path(folder) / "datasets"
        collect(line.collecting(), root=root)
        for arm, stages in ARMS.items():
            found[arm] = _of_arm(replace(line, stages=stages), root, Path(folder) / arm, score)
    return found


def train_hidden(seed: int) -> dict[str, dict[str, Any]]:
    """The hidden direction, likewise."""
    import torch

    from benchmarks.hidden_direction import NAMES, TEACHER, write_bars
    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.experts import get_expert
    from offline_trader.learning.settings import AuxiliaryConfig, CloneConfig, HeadWeights
    from offline_trader.pipeline.settings import LineConfig
    from offline_trader.pipeline.trained_runs import trained_policy
    from offline_trader.simulator import SimulatorConfig

    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory(prefix="offline-trader-") as folder:
        seen, unseen = Path(folder) / "seen.csv", Path(folder) / "unseen.csv"
        write_bars(seen, HIDDEN_BARS, (seed, 0))
        write_bars(unseen, HIDDEN_SCORED, (seed, 1))
        rules = SimulatorConfig(action_mode="target_long_short", fill="close")
        features = tuple(f"signal:{name}" for name in NAMES)
        env = EnvConfig(
            market=(str(seen),), simulator=rules, features=features, episode_bars=EPISODE
        )
        later = replace(env, market=(str(unseen),), episode_bars=None, random_start=False)
        span = EvaluationRange.from_env(later)

        def growth(strategy: Any) -> float:
            return math.log(span.account(strategy, rules).equity[-1] / rules.initial_cash)

        reference = growth(get_expert(TEACHER))
        none = dict.fromkeys(("volatility", "volume", "action", "regime"), 0.0)
        alone = HeadWeights(next_return=1.0, **none)
        weights = {arm: alone if arm == LIFTED else HeadWeights() for arm in HIDDEN_ARMS}

        def score(run: Any) -> float:
            return 100.0 * growth(trained_policy(run).act) / reference

        for arm, (steps, stages, updates) in HIDDEN_ARMS.items():
            line = LineConfig(
                env=env,
                experts=(TEACHER,),
                transitions=steps,
                stages=stages,
                auxiliary=AuxiliaryConfig(updates=PREPARED, weights=weights[arm]),
                clone=CloneConfig(updates=updates),
                seed=seed,
            )
            root = Path(folder) / f"datasets-{steps}"
            if not root.exists():
                collect(line.collecting(), root=root)
            found[arm] = _of_arm(line, root, Path(folder) / arm, score)
    return found


def _of_arm(line: Any, root: Path, path: Path, score: Callable[[Any], float]) -> dict[str, Any]:
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.trained_runs import finished_run

    start = time.process_time()
    pretrain(line.pretraining(), path, root=root)
    seconds = time.process_time() - start
    run = finished_run(path)
    return {
        "score": score(run),
        "seconds": seconds,
        "heads": run.facts.further.get("auxiliary", {}),
    }


def figures(rows: list[dict[str, dict[str, Any]]]) -> Iterator[Figure]:
    """M3 as bars: mean scores, the paired difference, directional accuracy."""
    scores = _scores(rows, ARMS)
    yield from _means("", scores)
    yield _added("added by auxiliary tasks", scores[PRETRAINED] - scores[PLAIN])
    yield from _direction("", rows, PRETRAINED, _best_direction())


def hidden_figures(rows: list[dict[str, dict[str, Any]]]) -> Iterator[Figure]:
    """The hidden direction: likewise, with what the training of the arms took."""
    from benchmarks.hidden_direction import best_direction

    name = "hidden direction: "
    scores = _scores(rows, HIDDEN_ARMS)
    yield from _means(name, scores)
    yield _added(f"{name}added by the head of the next return", scores[LIFTED] - scores[FEW])
    yield _added(f"{name}added beside a clone of as many updates", scores[LIFTED] - scores[LONGER])
    yield _added(f"{name}added by all heads", scores[ALL_HEADS] - scores[FEW])
    yield from _direction(name, rows, LIFTED, best_direction())
    for arm in HIDDEN_ARMS:
        spent = float(np.median([row[arm]["seconds"] for row in rows]))
        yield Figure(f"{name}{arm}: seconds of the processor", spent, "s")


def _scores(rows: list[Any], arms: Iterable[str]) -> dict[str, np.ndarray[Any, Any]]:
    return {arm: np.array([row[arm]["score"] for row in rows]) for arm in arms}


def _means(name: str, scores: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Figure]:
    for arm, values in scores.items():
        yield Figure(f"{name}{arm}: score", float(values.mean()), "score", student_interval(values))


def _added(name: str, added: np.ndarray[Any, Any]) -> Figure:
    low, high = student_interval(added)
    return Figure(
        name, float(added.mean()), "score", (low, high), target="interval > 0", holds=low > 0.0
    )


def _direction(name: str, rows: list[Any], arm: str, best: float) -> Iterator[Figure]:
    wanted = min(0.6, best - 0.02)
    accuracy = np.array([row[arm]["heads"]["direction"]["accuracy"] for row in rows])
    yield Figure(
        f"{name}directional accuracy of the head",
        float(accuracy.mean()),
        "share",
        student_interval(accuracy),
        target=f"≥ {wanted:.3f}",
        holds=float(accuracy.mean()) >= wanted,
    )
    yield Figure(f"{name}directional accuracy of the best filter", best, "share")


def _best_direction() -> float:
    from offline_trader.evaluation.known_optimum import MeanReversion

    law = MeanReversion()
    return 0.5 + math.atan(law.k * law.deviation / law.sigma) / math.pi


def main() -> None:
    """Train, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished seeds, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    args = parser.parse_args()
    finished = Finished(args.cache)
    rows, hidden = [], []
    for seed in args.seeds:
        key = [seed, STEPS, BARS, SCORED, CLONED, list(ARMS.values())]
        rows.append(finished.get(key, partial(train, seed)))
        sizes = [FEATURES, HIDDEN_BARS, HIDDEN_SCORED, PREPARED, list(HIDDEN_ARMS.values())]
        hidden.append(finished.get(["hidden", seed, *sizes], partial(train_hidden, seed)))
        for found in (rows[-1], hidden[-1]):
            shown = {arm: round(one["score"], 1) for arm, one in found.items()}
            print(seed, shown, file=sys.stderr, flush=True)
    shown_all = [*hidden_figures(hidden), *figures(rows)]
    publish("auxiliary", shown_all, seeds=args.seeds, facts={"rows": rows, "hidden": hidden})


if __name__ == "__main__":
    main()
