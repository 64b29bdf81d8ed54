"""Whether the line finds a signal that is there: ``offline-trader power`` on the S&P 500's days.

Twelve years to train on, one to choose by, four to test, 6 bp for buying and selling (the defaults
of ``offline-trader power``), the signal beside the built-in features. What the policies earn is
held against the band on the signal alone that was best on the same training bars: what somebody who
knew where to look would have earned; and against the optimum under costs of somebody who knows the
signal's law. At coefficient 0 there is nothing to be found.

Intervals of mean Sharpe ratios are Student's over seeds. Finished markets stay in the folder
``--cache``; the same command goes on from there, and one with more seeds adds to them.
``--long-short`` lets the policies sell short, with borrow costs, and writes
``power_long_short.json``.

``--ceiling SEEDS`` trains nothing: on so many markets it counts how often the optimum itself is
found, long-only as the command trades and long-short, and writes ``power_ceiling.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binom

from benchmarks.finished import Finished
from benchmarks.record import Figure, publish, student_interval

if TYPE_CHECKING:
    from offline_trader.simulator.config import ActionMode

COEFFICIENTS = (0.1, 0.05, 0.0)
FOUND = {0.1: 0.8, 0.05: 0.35}
SHARE_OF_RULE = 0.8
LEAST_AT_NOTHING = -0.15
LEVEL = 0.05
MODES: Mapping[ActionMode, str] = {"order": "", "target_long_short": ", long-short"}


def settings_of(mode: ActionMode) -> dict[str, Any]:
    """Of the command, but for the markets that are tried."""
    return {"env": {"market": ["sp500"], "simulator": {"action_mode": mode}}}


def measured(
    folder: Path, coefficients: Sequence[float], seeds: int, mode: ActionMode
) -> Mapping[str, Any]:
    """What the command writes."""
    import torch

    from offline_trader.config import from_dict
    from offline_trader.pipeline.power_study import PowerConfig, power

    torch.set_num_threads(1)
    tried = {"coefficients": list(coefficients), "seeds": seeds}
    return power(from_dict(PowerConfig, {**settings_of(mode), **tried}), folder)


def figures(points: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Iterator[Figure]:
    """Share found, Sharpe ratios of line and rule, and their quotient."""
    for point in points:
        c, n = point["coefficient"], point["seeds"]
        own = [one for one in results if one["coefficient"] == c]
        share = (point["share_low"], point["share_high"])
        if c > 0.0:
            goal = FOUND.get(c)
            yield Figure(
                f"found at {c:g}", point["share"], "share", share,
                target="" if goal is None else f"≥ {goal:g}",
                holds=None if goal is None else point["share"] >= goal,
            )  # fmt: skip
            yield Figure(f"found by the rule at {c:g}", point["rule_found"] / n, "share")
            yield Figure(f"found by the optimum at {c:g}", point["optimum_found"] / n, "share")
        else:
            most = int(binom.ppf(0.95, n, LEVEL)) if n < 20 else 1
            yield Figure(
                "claimed where there is nothing", point["found"], f"of {n}",
                target=f"≤ {most}", holds=point["found"] <= most,
            )  # fmt: skip
        sharpes = np.array([one["sharpe"] for one in own])
        low = {"target": f"> {LEAST_AT_NOTHING:g}", "holds": point["sharpe"] > LEAST_AT_NOTHING}
        yield Figure(
            f"Sharpe ratio at {c:g}", point["sharpe"], "a year", student_interval(sharpes),
            **(low if c == 0.0 else {}),
        )  # fmt: skip
        ruled = np.array([one["rule_sharpe"] for one in own])
        yield Figure(
            f"the rule's at {c:g}", point["rule_sharpe"], "a year", student_interval(ruled)
        )
        if c > 0.0:
            best = np.array([one["optimum_sharpe"] for one in own])
            yield Figure(
                f"the optimum's at {c:g}", point["optimum_sharpe"], "a year", student_interval(best)
            )
            reached = point["sharpe"] / point["optimum_sharpe"]
            yield Figure(f"share of the optimum's at {c:g}", reached, "1")
            quotient = point["sharpe"] / point["rule_sharpe"]
            yield Figure(
                f"share of the rule's at {c:g}", quotient, "1",
                target=f"≥ {SHARE_OF_RULE:g}", holds=quotient >= SHARE_OF_RULE,
            )  # fmt: skip
        yield Figure(f"stay out at {c:g}", point["idle"], f"of {n}")


def ceiling(cache: Path | None, coefficients: Sequence[float], seeds: int) -> Iterator[Figure]:
    """How often the optimum is found, and what it earns, in each mode."""
    from offline_trader.evaluation.statistics import wilson_interval

    finished = Finished(cache)
    for mode, said in MODES.items():
        for c in (each for each in coefficients if each > 0.0):
            named = [(mode, c, seed) for seed in range(seeds)]
            own = [finished.get(each, partial(optimum_of, *each)) for each in named]
            found = sum(one["optimum_found"] for one in own)
            sharpes = np.array([one["optimum_sharpe"] for one in own])
            yield Figure(
                f"found at {c:g}{said}", found / seeds, "share", wilson_interval(found, seeds)
            )
            yield Figure(
                f"Sharpe ratio at {c:g}{said}", float(sharpes.mean()), "a year",
                student_interval(sharpes),
            )  # fmt: skip


def optimum_of(mode: ActionMode, coefficient: float, seed: int) -> dict[str, Any]:
    """The optimum on one of the markets that :func:`measured` trains on."""
    from offline_trader.config import from_dict
    from offline_trader.evaluation.power import judged_optimum, plant
    from offline_trader.markets import load_market
    from offline_trader.pipeline.power_study import PowerConfig

    config, history = from_dict(PowerConfig, settings_of(mode)), load_market("sp500")
    split, persistence = config.split(history), config.persistence
    planted = plant(history, split, coefficient, persistence=persistence, seed=seed)
    return judged_optimum(planted, config.env.simulator, seed)


def main() -> None:
    """Try, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="folder (--ceiling: file) of finished markets")
    parser.add_argument("--seeds", type=int, default=20, help="markets for each coefficient")
    parser.add_argument("--coefficients", type=float, nargs="+", default=list(COEFFICIENTS))
    parser.add_argument("--long-short", action="store_true", help="target weights, short ones too")
    parser.add_argument("--ceiling", type=int, metavar="SEEDS", help="only the optimum, on so many")
    args = parser.parse_args()
    if args.ceiling:
        shown = list(ceiling(args.cache, args.coefficients, args.ceiling))
        publish("power_ceiling", shown, seeds=range(args.ceiling), module="power")
        return
    if args.cache is None:
        parser.error("--cache is needed: a market is trained for a minute")
    mode: ActionMode = "target_long_short" if args.long_short else "order"
    payload = measured(args.cache, args.coefficients, args.seeds, mode)
    facts = {key: payload[key] for key in ("sentence", "results", "settings")}
    shown = list(figures(payload["points"], payload["results"]))
    name = "power_long_short" if args.long_short else "power"
    publish(name, shown, seeds=range(args.seeds), facts=facts, module="power")


if __name__ == "__main__":
    main()
