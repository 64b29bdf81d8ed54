"""The risk gate's invariants over a million random steps (Hypothesis, stateful).

The machine is that of the tests (`tests/serving/test_risk.py`), which run a few thousand of its
steps: no limit passed, no flip under REDUCE, no order without a fresh price or twice for a bar,
HALT never left but by a person.
"""

from __future__ import annotations

import argparse
import importlib.util
import traceback
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.record import Figure, publish

TESTS = Path(__file__).resolve().parent.parent / "tests" / "serving" / "test_risk.py"
STEPS_A_RUN = 200
RUNS_A_ROUND = 250  # Hypothesis keeps a tree of all runs of a round: more would fill the memory


def machine() -> Any:
    """The tests' machine."""
    found = importlib.util.spec_from_file_location("risk_histories_tests", TESTS)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.Histories


def counted(parent: Any) -> Any:
    """The machine, which counts what it proposed."""

    class Counted(parent):  # type: ignore[misc]
        proposals = 0
        orders = 0

        def propose(self, asked: Any) -> None:
            before = self.state.orders_today, self.state.ordered_at
            super().propose(asked)
            Counted.proposals += 1
            Counted.orders += (self.state.orders_today, self.state.ordered_at) != before

    return Counted


def main() -> None:
    """Run and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    steps = parser.parse_args().steps
    walked, broken, rounds = counted(machine()), 0, 0
    asked = settings(
        max_examples=RUNS_A_ROUND,
        stateful_step_count=STEPS_A_RUN,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while walked.proposals < steps and not broken:
        try:
            run_state_machine_as_test(seed(rounds)(walked), settings=asked)
        except AssertionError:
            traceback.print_exc()
            broken = 1
        rounds += 1
        print(f"\r{walked.proposals:,} of {steps:,} proposals", end="", flush=True)
    print()
    enough = walked.proposals >= steps
    figures = [
        Figure(
            "risk: proposals reviewed", walked.proposals, "", target=f"≥ {steps:,}", holds=enough
        ),
        Figure("risk: orders let through", walked.orders, ""),
        Figure("risk: invariants broken", broken, "", target="0", holds=broken == 0),
    ]
    publish(
        "risk_histories",
        figures,
        facts={"steps": steps, "steps_a_run": STEPS_A_RUN, "seeds": rounds},
    )


if __name__ == "__main__":
    main()
