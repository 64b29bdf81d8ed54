"""TD3+BC of d3rlpy learns from a dataset that was collected here; it is exported and judged here.

    python examples/train_with_d3rlpy.py --steps 20000

d3rlpy's own observation scaler goes into the ONNX file.
"""

from __future__ import annotations

import argparse
from typing import Any

import d3rlpy

import offline_trader as ot
from offline_trader.errors import GateFailed

TRAINED_ON: dict[str, Any] = {"market": "sp500", "end": "2012-12-31"}


def main(arguments: list[str] | None = None) -> ot.Report:
    """Collect, train, export, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--transitions", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows = ot.collect(
        **TRAINED_ON,
        dataset="sp500/for-d3rlpy-v0",
        transitions=options.transitions,
        resume=True,
    ).transitions()
    dataset = d3rlpy.dataset.MDPDataset(
        rows.observations, rows.actions, rows.rewards, rows.terminals, rows.timeouts
    )
    d3rlpy.seed(options.seed)
    model = d3rlpy.algos.TD3PlusBCConfig(
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler()
    ).create(device="cpu")
    model.fit(
        dataset,
        n_steps=options.steps,
        n_steps_per_epoch=options.steps,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    try:
        policy: Any = ot.export_policy(model, "runs/td3/export/policy.onnx", **TRAINED_ON)
    except GateFailed as refusal:  # the same policy all the time is nothing to deploy
        print(refusal)
        policy = model
    report = ot.evaluate(
        policy, "sp500", start="2015-01-01", output="runs/td3/evaluation", overwrite=True
    )
    print(report)
    return report


if __name__ == "__main__":
    main()
