"""Environment steps a second with an update each: SAC online, ours beside its peers.

On M1 in 8 lanes (one act and one step of all lanes, then 8 updates), batch 256, two hidden layers
of 64 and of 256 units. Every run is a process of its own that is pinned to one core; contestants
take turns, and a rate is of the processor's time, because other programs take time on a machine
that is shared. The first looks, in which programs are compiled and the buffer begins to fill, do
not count. SBX, where ``make bench-peers`` has built its environment, makes the 8 updates of a step
in one call.

**Markets**: of SAC on the curriculum with its default settings (20,000 steps, an update every
fourth), the share of the processor's time that goes into synthetic bars, into those that are
trained on alone, which are a tenth of them, as exams take the rest, and with features into markets.

With ``--cache FILE`` finished parts are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.finished import ROOT, Finished
from benchmarks.record import Figure, publish

SBX = ROOT / ".bench-peers" / "sbx" / "bin" / "python"
EVERY, IDLE, CORE = 400, 2, "0"
LOOKS = {64: 5, 256: 3}
TARGETS = {(64, "stable-baselines3"): 4.0, (256, "stable-baselines3"): 1.7, (64, "SBX"): 1.0,
           (256, "SBX"): 1.0}  # fmt: skip
CONTESTANTS = {"ours": "ours", "stable-baselines3": "sb3", "SBX": "sbx"}
ONLINE: dict[str, Any] = {
    "market": "M1", "lanes": 8, "warmup": EVERY, "buffer": 100_000, "every": EVERY,
}  # fmt: skip
LEARNER: dict[str, Any] = {
    "batch_size": 256, "gamma": 0.95, "actor_lr": 1e-3, "critic_lr": 1e-3, "temp_lr": 1e-3,
    "tau": 0.005, "initial_temperature": 0.1,
}  # fmt: skip
COURSE_LANES, MARKETS_MOST = 16, 0.05


def rate(contestant: str, hidden: int, seed: int) -> float:
    """Steps, each with an update, a second of the processor's time."""
    from benchmarks import online_contestants

    looks: list[float] = []
    wanted = IDLE + LOOKS[hidden]

    def look(_: int, policy: Callable[[Any], Any]) -> bool:
        import numpy as np

        policy(np.zeros((1, 2), np.float32))  # what is computed in the background is waited for
        looks.append(time.process_time())
        return len(looks) > wanted

    learner = LEARNER | {"hidden": [hidden] * 2}
    settings = ONLINE | {"most": EVERY * (wanted + 2), "learner": learner}
    getattr(online_contestants, contestant)(settings, seed, look)
    return EVERY * (wanted - IDLE) / (looks[wanted] - looks[IDLE])


def course(seed: int) -> dict[str, float]:
    """Seconds of the processor: of synthetic bars, of those trained on, of all bars with their
    features, and of the whole training."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.envs import EnvConfig
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import CurriculumConfig, LearnerConfig, OnlineConfig
    from offline_trader.learning.stages import course as courses
    from offline_trader.learning.stages import finetune
    from offline_trader.markets.synthetic import TurbulentMarket
    from offline_trader.pipeline.courses import make_lanes

    spent = {"bars": 0.0, "markets": 0.0, "exams": 0.0}

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            begun = time.process_time()
            found = work(*given, **named)
            spent[part] += time.process_time() - begun
            return found

        return call

    online = OnlineConfig(
        curriculum=CurriculumConfig(enabled=True), offline_share=0.0, evaluate_interval=0
    )
    make_lanes(online, EnvConfig(), 1, seed)  # compiled before the clock starts
    TurbulentMarket.make = timed("bars", TurbulentMarket.make)  # type: ignore[method-assign]
    vars(courses)["level_paths"] = timed("markets", vars(courses)["level_paths"])
    lanes_of = courses.CourseLanes
    examine = lanes_of.examine

    def examined(self: Any, policy: Any) -> Any:
        before = spent["bars"]
        found = examine(self, policy)
        spent["exams"] += spent["bars"] - before
        return found

    lanes_of.examine = examined  # type: ignore[method-assign]
    begun = time.process_time()
    lanes = make_lanes(online, EnvConfig(), COURSE_LANES, seed)
    layout = lanes.market.layout
    learner = make_learner(LearnerConfig(algorithm="sac"), layout.size, None, seed)
    finetune(learner, lanes, None, online, seed=seed)
    whole = time.process_time() - begun
    return {
        "bars": spent["bars"], "bars trained on": spent["bars"] - spent["exams"],
        "markets": spent["markets"], "all": whole,
    }  # fmt: skip


def _process(contestant: str, *words: object) -> Any:
    """What a contestant prints in a process of its own, on one core."""
    python = str(SBX) if contestant == "sbx" else sys.executable
    command = ["taskset", "-c", CORE, python, "-m", "benchmarks.online_speed", "--run", contestant]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        [*command, *map(str, words)],
        cwd=ROOT,
        env=os.environ | limits,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def figures_of(hidden: int, rates: Mapping[str, list[float]]) -> list[Figure]:
    """Ours beside each peer, by the median of the ratios within a round, and theirs."""
    found, own = list[Figure](), rates["ours"]
    mine = statistics.median(own)
    for name, values in rates.items():
        if name == "ours":
            continue
        ratio = statistics.median(a / b for a, b in zip(own, values, strict=True))
        aim = TARGETS[hidden, name]
        found += [
            Figure(f"{hidden} units: ours against {name}", mine, "steps/s", (min(own), max(own)),
                   name, ratio, f"≥ {aim:g} ×", ratio >= aim),
            Figure(f"{hidden} units: {name}", statistics.median(values), "steps/s",
                   (min(values), max(values))),
        ]  # fmt: skip
    return found


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs="+", metavar="CONTESTANT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="finished parts, JSON lines")
    args = parser.parse_args()
    if args.run:
        name, *words = args.run
        numbers = [int(word) for word in words]
        print(json.dumps(course(*numbers) if name == "course" else rate(name, *numbers)))
        return
    cache, figures, facts = Finished(args.cache), list[Figure](), dict[str, Any]()
    peers = {shown: name for shown, name in CONTESTANTS.items() if name != "sbx" or SBX.exists()}
    for hidden, looks in LOOKS.items():
        rates: dict[str, list[float]] = {}
        for turn in range(args.rounds):
            for shown, name in peers.items():
                key = [name, hidden, turn, ONLINE, LEARNER, IDLE, looks]
                found = cache.get(key, partial(_process, name, hidden, turn))
                rates.setdefault(shown, []).append(found)
                print(f"{hidden} units, {shown}: {found:.0f} steps/s", file=sys.stderr)
        facts[f"{hidden} units"] = rates
        figures += figures_of(hidden, rates)
    turns = range(args.rounds)
    shares = [
        cache.get(["course", turn, COURSE_LANES], partial(_process, "course", turn))
        for turn in turns
    ]
    for part, aim in (("bars", MARKETS_MOST), ("bars trained on", None), ("markets", None)):
        values = [each[part] / each["all"] for each in shares]
        middle = statistics.median(values)
        asked = {} if aim is None else {"target": f"< {aim:g}", "holds": middle < aim}
        figures.append(
            Figure(f"curriculum: share of the time in {part}", middle, "share",
                   (min(values), max(values)), **asked)
        )  # fmt: skip
    settings = {"online": ONLINE, "learner": LEARNER, "core": CORE, "course": shares}
    publish("online_speed", figures, seeds=range(args.rounds), facts=facts | settings)


if __name__ == "__main__":
    main()
