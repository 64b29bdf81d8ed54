"""DAgger beside cloning on M3 from as many answers of the expert.

The expert is M3's optimal policy. A clone learns from 2,000 steps of it (8 lanes of 250, which the
expert trades alone); DAgger from 2,000 answers in ten rounds of 200, of which the expert trades
the first and the learner the others. Both have 3,000 updates of the same fit and the same networks,
and are scored on the same draws of the market: 256 lanes of 2,000 steps. Both fits of the actor are
measured, because the likelihood fit, imitation's own, drifts where the mean fit hardly does.

What differs is the regret a step, V*(s) − Q*(s, a) over the states that a policy comes to, in
millionths of the log price; the interval of the difference is Student's over paired seeds. Seeds 0
to 2 were looked at before, with 4, 5, 10 and 20 rounds and 3,000 and 6,000 updates.
Finished trainings are kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, publish, student_interval

FITS = ("mean", "likelihood")
ROUNDS = {"clone": 1, "DAgger": 10}
ANSWERS, UPDATES, LANES = 2_000, 3_000, 8
SEEDS = tuple(range(40, 48))
_MILLIONTHS = 1e6


def train(method: str, fit: str, seed: int) -> dict[str, float]:
    """Regret, score and seconds of one training."""
    from offline_trader.evaluation.known_optimum import (
        AskedMarket,
        get_market,
        optimal_policy,
        score_policy,
    )
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import CloneConfig, DaggerConfig, LearnerConfig
    from offline_trader.learning.stages import STAGES, StageData

    market, rounds = get_market("M3"), ROUNDS[method]
    config = DaggerConfig(
        rounds=rounds,
        steps=ANSWERS // rounds,
        lanes=LANES,
        clone=CloneConfig(updates=UPDATES // rounds, fit=fit, holdout=0.0),  # type: ignore[arg-type]
    )
    learner = make_learner(LearnerConfig(reward_scaling="none"), 2, seed=seed)
    lanes = AskedMarket(market, LANES, optimal_policy(market), seed=seed)
    start = time.process_time()
    STAGES["dagger"](config).fit(learner, StageData(asked=lanes), seed=seed)
    seconds = time.process_time() - start
    found = score_policy(market, learner.act, seed=1)
    return {"regret": _MILLIONTHS * found.regret, "score": found.value, "seconds": seconds}


def figures(rows: dict[str, dict[str, float]], seeds: list[int]) -> Iterator[Figure]:
    """Mean regrets and scores, and the paired difference of the regrets."""
    for fit in FITS:
        regrets = {}
        for method in ROUNDS:
            mine = [rows[f"{method} {fit} {seed}"] for seed in seeds]
            regrets[method] = np.array([row["regret"] for row in mine])
            score = float(np.mean([row["score"] for row in mine]))
            yield Figure(f"{method}, {fit} fit: regret", float(regrets[method].mean()), "1e-6")
            yield Figure(f"{method}, {fit} fit: score", score, "score")
        less = regrets["clone"] - regrets["DAgger"]
        low, high = student_interval(less)
        yield Figure(
            f"regret that DAgger saves, {fit} fit",
            float(less.mean()),
            "1e-6",
            (low, high),
            target="interval > 0",
            holds=low > 0.0,
        )


def main() -> None:
    """Train, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    lines = args.cache.read_text(encoding="utf-8").splitlines() if args.cache.exists() else []
    rows: dict[str, dict[str, float]] = dict(map(json.loads, lines))
    for seed in args.seeds:
        for fit in FITS:
            for method in ROUNDS:
                key = f"{method} {fit} {seed}"
                if key not in rows:
                    rows[key] = train(method, fit, seed)
                    with args.cache.open("a", encoding="utf-8") as file:
                        print(json.dumps([key, rows[key]]), file=file, flush=True)
    used = {key: row for key, row in rows.items() if int(key.split()[-1]) in args.seeds}
    publish("dagger", list(figures(used, args.seeds)), seeds=args.seeds, facts={"rows": used})


if __name__ == "__main__":
    main()
