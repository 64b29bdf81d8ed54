"""The room's names load what they need and nothing else."""

from __future__ import annotations

import subprocess
import sys

from offline_trader import evaluation


def test_every_name_is_there() -> None:
    for name in evaluation.__all__:
        assert getattr(evaluation, name).__name__ == name
    assert set(evaluation.__all__) <= set(dir(evaluation))


def test_measures_and_statistics_load_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from offline_trader.evaluation import performance, sharpe_evidence, "
        "collapse_measures, TrialLedger; from offline_trader.evaluation import bootstrap_interval;"
        "print({'torch', 'pandas', 'numba', 'd3rlpy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
