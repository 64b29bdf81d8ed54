"""Whether the line finds a signal that is there: ``offline-trader power`` on the S&P 500's days.

Twelve years to train on, one to choose by, four to test, 6 bp for buying and selling (the defaults
of ``offline-trader power``), the signal beside the built-in features. What the policies earn is
held against the band on the signal alone that was best on the same training bars: what somebody who
knew where to look would have earned. At coefficient 0 there is nothing to be found.

Intervals of mean Sharpe ratios are Student's over seeds. Finished markets stay in the folder
``--cache``; the same command goes on from there, and one with more seeds adds to them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from benchmarks.record import Figure, publish, student_interval

COEFFICIENTS = (0.1, 0.05, 0.0)
FOUND = {0.1: 0.8, 0.05: 0.35}
SHARE_OF_RULE = 0.8
LEAST_AT_NOTHING = -0.15
LEVEL = 0.05


def measured(folder: Path, coefficients: Sequence[float], seeds: int) -> Mapping[str, Any]:
    """What the command writes."""
    import torch

    from offline_trader.config import from_dict
    from offline_trader.pipeline.power_study import PowerConfig, power

    torch.set_num_threads(1)
    market = {"env": {"market": ["sp500"]}}
    tried = {"coefficients": list(coefficients), "seeds": seeds}
    return power(from_dict(PowerConfig, {**market, **tried}), folder)


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
            quotient = point["sharpe"] / point["rule_sharpe"]
            yield Figure(
                f"share of the rule's at {c:g}", quotient, "1",
                target=f"≥ {SHARE_OF_RULE:g}", holds=quotient >= SHARE_OF_RULE,
            )  # fmt: skip
        yield Figure(f"stay out at {c:g}", point["idle"], f"of {n}")


def main() -> None:
    """Try, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder of finished markets")
    parser.add_argument("--seeds", type=int, default=20, help="markets for each coefficient")
    parser.add_argument("--coefficients", type=float, nargs="+", default=list(COEFFICIENTS))
    args = parser.parse_args()
    payload = measured(args.cache, args.coefficients, args.seeds)
    facts = {key: payload[key] for key in ("sentence", "results", "settings")}
    shown = list(figures(payload["points"], payload["results"]))
    publish("power", shown, seeds=range(args.seeds), facts=facts)


if __name__ == "__main__":
    main()
