"""What the calls return: thin records over what lies on disk, which show themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.pipeline.seed_records import chosen_run
from offline_trader.pipeline.trained_runs import TrainedRun, acting_policy, finished_run

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.datasets.summary import CollectSummary
    from offline_trader.evaluation.judging import Evaluation
    from offline_trader.export import OnnxPolicy
    from offline_trader.learning.data import Transitions
    from offline_trader.pipeline.exporting import Exported
    from offline_trader.types import Policy

__all__ = ["Dataset", "Model", "Report", "Trained"]


@dataclass(frozen=True, repr=False)
class Dataset:
    """A collected dataset.

    Attributes:
        summary: what it holds.
        root: folder of all datasets; None: Minari's.
    """

    summary: CollectSummary
    root: Path | None = None

    @property
    def id(self) -> str:
        """Its name, as in ``sp500/experts-v0``."""
        return self.summary.dataset_id

    def transitions(self) -> Transitions:
        """All of it as contiguous arrays.

        Raises:
            DataError: its files are damaged.
        """
        from offline_trader.datasets import load_transitions

        return load_transitions(self.id, self.root)

    def __repr__(self) -> str:
        found = self.summary
        return (
            f"Dataset({found.dataset_id!r}, {found.steps:,} steps in {found.episodes:,} episodes "
            f"of {len(found.behaviours)} experts)"
        )

    def _repr_html_(self) -> str:
        from offline_trader.workbench.showing import dataset_html

        return dataset_html(self)


@dataclass(frozen=True, repr=False)
class Trained:
    """A finished training, or the seeds of one.

    Attributes:
        path: its run directory; of several seeds the folder of theirs.
        root: folder of the datasets; None: Minari's.
    """

    path: Path
    root: Path | None = None

    @property
    def run(self) -> TrainedRun:
        """The run with what it states of itself; of several seeds the best by validation.

        Raises:
            DataError: it is not finished, or broken; seeds that no validation ranks.
        """
        return finished_run(chosen_run(self.path))

    def policy(self) -> Policy:
        """The deterministic policy: raw observations [N, F + P] to actions [N, 1].

        Raises:
            DataError: its file is not the one that was trained.
        """
        return acting_policy(self.run)

    def metrics(self) -> pd.DataFrame:
        """What was logged, a row a logged step.

        Raises:
            DataError: the log is broken.
        """
        import pandas as pd

        from offline_trader.runs import Run

        return pd.DataFrame(Run.open(self.run.path).metrics()).set_index("step")

    def __repr__(self) -> str:
        from offline_trader.workbench.showing import stage_sentences

        return "\n".join([f"Trained({str(self.path)!r})", *stage_sentences(self)])

    def _repr_html_(self) -> str:
        from offline_trader.workbench.showing import trained_html

        return trained_html(self)


@dataclass(frozen=True, repr=False)
class Model:
    """An exported policy.

    Attributes:
        exported: what the export wrote and found.
    """

    exported: Exported

    @property
    def path(self) -> Path:
        """The ONNX file; its manifest lies beside it."""
        return self.exported.model

    def policy(self) -> OnnxPolicy:
        """The policy on the ONNX runtime.

        Raises:
            DataError: the file is not the one that was exported.
        """
        from offline_trader.export import open_model

        return open_model(self.path)

    def __repr__(self) -> str:
        found = self.exported
        verdict = ", ".join(found.verdicts) or "no collapse"
        return f"Model({str(self.path)!r}, {found.size_bytes:,} bytes, {verdict})"

    def _repr_html_(self) -> str:
        from offline_trader.workbench.showing import model_html

        return model_html(self)


@dataclass(frozen=True, repr=False)
class Report:
    """What was found of a policy or an expert, and where its report is.

    Attributes:
        evaluation: all numbers.
        folder: holds ``report.html``, ``evaluation.json`` and the figures.
    """

    evaluation: Evaluation
    folder: Path

    @property
    def path(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def measures(self) -> dict[str, float | None]:
        """Performance measures by name, net of costs; None where one is not defined."""
        return self.evaluation.measures

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of some of the measures."""
        return self.evaluation.intervals

    @property
    def verdicts(self) -> tuple[str, ...]:
        """COLLAPSED, STATE-BLIND, SATURATED, as they apply."""
        return self.evaluation.verdicts

    def to_frame(self) -> pd.DataFrame:
        """A row a measure: its value, the ends of its interval, and the comparators' values."""
        import pandas as pd

        found, rows = self.evaluation, {}
        for name, value in found.measures.items():
            low, high = found.intervals.get(name, (None, None))
            comparators: dict[str, Any] = {r.name: r.measures.get(name) for r in found.comparators}
            rows[name] = {"value": value, "low": low, "high": high, **comparators}
        return pd.DataFrame.from_dict(rows, orient="index", dtype=float)

    def require_gates(self) -> None:
        """Nothing if no gate that was checked failed.

        Raises:
            GateFailed: one did.
        """
        from offline_trader.evaluation.gates import require_gates

        require_gates(self.evaluation.gates)

    def __repr__(self) -> str:
        from offline_trader.evaluation.report import brief_text

        return f"{brief_text(self.evaluation)}\nreport: {self.path}"

    def _repr_html_(self) -> str:
        from offline_trader.evaluation.report import brief_html

        return brief_html(self.evaluation, str(self.path))
