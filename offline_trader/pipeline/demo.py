"""The whole line on one market: collect, pretrain, fine-tune, export, evaluate, in one folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.config import to_dict
from offline_trader.datasets import CollectConfig, collect
from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError, GateFailed
from offline_trader.evaluation.judging import EvaluateOptions
from offline_trader.learning.settings import CloneConfig, LearnerConfig, OfflineConfig, OnlineConfig
from offline_trader.locks import locked
from offline_trader.pipeline.candidates import open_candidate
from offline_trader.pipeline.evaluating import EvaluateConfig, evaluate_candidate
from offline_trader.pipeline.exporting import Exported, export_run
from offline_trader.pipeline.finetuning import FinetuneConfig, finetune
from offline_trader.pipeline.pretraining import PretrainConfig, pretrain
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.validation import ValidationConfig, day_after
from offline_trader.runs import LOCK, atomic_write
from offline_trader.stored_json import read_object

if TYPE_CHECKING:
    from offline_trader.evaluation.judging import Evaluation

__all__ = ["DemoConfig", "prepare", "require_active", "run_demo"]

MARKER = "demo.json"
MIN_TRADES_PER_1000 = 20.0
_AGAIN = "run it without --resume, or choose another --run"


@dataclass(frozen=True)
class DemoConfig:
    """The whole line in one configuration.

    Attributes:
        market: a built-in market or a file of bars.
        train_end: last day of training; the experts' data and the scaler end here.
        validation_end: last day of the bars that choose the policy; what follows is the test.
        experts: the behaviour mixture.
        transitions: expert steps to collect.
        learner, clone, offline: the pretraining.
        online, lanes: the fine-tuning.
        options: the evaluation's comparisons and robustness runs.
        seed: of everything.
    """

    market: str = "sp500"
    train_end: str = "2012-12-31"
    validation_end: str = "2014-12-31"
    experts: tuple[str, ...] = field(default_factory=lambda: CollectConfig().experts)
    transitions: int = 100_000
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    clone: CloneConfig = field(default_factory=lambda: CloneConfig(updates=2_000))
    offline: OfflineConfig = field(
        default_factory=lambda: OfflineConfig(updates=2_000, evaluate_interval=250)
    )
    online: OnlineConfig = field(
        default_factory=lambda: OnlineConfig(steps=8_000, evaluate_interval=2_000)
    )
    lanes: int = 16
    options: EvaluateOptions = field(default_factory=EvaluateOptions)
    seed: int = 0

    def collecting(self) -> CollectConfig:
        """What the first stage does."""
        return CollectConfig(
            dataset_id="demo/experts-v0",
            env=EnvConfig(market=(self.market,), end=self.train_end),
            experts=self.experts,
            transitions=self.transitions,
            seed=self.seed,
        )

    def pretraining(self) -> PretrainConfig:
        """What the second stage does."""
        return PretrainConfig(
            dataset=self.collecting().dataset_id,
            learner=self.learner,
            clone=self.clone,
            offline=self.offline,
            validation=ValidationConfig(end=self.validation_end),
            seed=self.seed,
        )

    def finetuning(self) -> FinetuneConfig:
        """What the third stage does."""
        return FinetuneConfig(
            dataset=self.collecting().dataset_id,
            env=self.collecting().env,
            learner=replace(self.learner, algorithm="sac"),
            online=self.online,
            lanes=self.lanes,
            validation=ValidationConfig(end=self.validation_end),
            seed=self.seed,
        )

    def testing(self) -> EnvConfig:
        """The bars that judge the policy: all after those that chose it, and after a gap."""
        env, gap = self.collecting().env, ValidationConfig().gap_bars
        start = day_after(env.market, env.tz, self.validation_end, gap)
        return replace(env, start=start, end=None)

    def require_bars(self) -> None:
        """Nothing if there are bars to validate on, and later ones to judge on.

        Raises:
            ConfigError, DataError: there are none.
        """
        self.pretraining().validation.env(self.collecting().env)
        make_market(self.testing())


def run_demo(
    config: DemoConfig, folder: Path, progress: Progress = Silent(), *, resume: bool = False
) -> tuple[Exported, Evaluation]:
    """All five stages under ``folder``.

    Raises:
        ConfigError: the folder holds something that no demo wrote, or another process is at it.
    """
    _refuse_foreign(folder)
    with locked(folder / LOCK, f"the demo's folder {folder}"):
        return _run_stages(config, folder, progress, resume=resume)


def _run_stages(
    config: DemoConfig, folder: Path, progress: Progress, *, resume: bool
) -> tuple[Exported, Evaluation]:
    prepare(folder, config, resume=resume)
    datasets = folder / "datasets"
    stage = _Stages(progress)
    stage("collect: experts trade in the simulator")
    with progress.task("collecting", config.transitions) as advance:
        collect(config.collecting(), advance, root=datasets, resume=resume)
    stage("pretrain: clone the experts, then learn offline")
    pretrain(config.pretraining(), folder / "pretrain", progress, root=datasets, resume=resume)
    stage("finetune: learn on in the simulator")
    finetune(
        config.finetuning(),
        folder / "pretrain",
        folder / "finetune",
        progress,
        root=datasets,
        resume=resume,
    )
    stage("export: one ONNX file")
    exported = export_run(folder / "finetune", folder / "export" / "policy.onnx")
    stage("evaluate: bars that nothing has seen")
    candidate = open_candidate(str(exported.model))
    options = replace(config.options, experts=candidate.experts, name="policy", seed=config.seed)
    judged = evaluate_candidate(
        candidate, EvaluateConfig(config.testing(), options), folder / "evaluation", progress
    )
    return exported, judged


class _Stages:
    """Announces the stages with the time that has passed."""

    def __init__(self, progress: Progress) -> None:
        self._note: Callable[[str], None] = progress.note
        self._begun = time.perf_counter()
        self._count = 0

    def __call__(self, text: str) -> None:
        self._count += 1
        self._note(f"[{time.perf_counter() - self._begun:4.0f} s] {self._count}/5 {text}")


def prepare(folder: Path, config: DemoConfig, *, resume: bool) -> None:
    """Make ``folder`` a demo's: empty it of an earlier one, unless that goes on."""
    _refuse_foreign(folder)
    marker = folder / MARKER
    settings: dict[str, Any] = json.loads(json.dumps(to_dict(config)))
    if marker.exists():
        if not resume:
            _empty(folder)
        elif read_object(marker, what="the settings of a demo", hint=_AGAIN) != settings:
            raise ConfigError(f"{folder} holds a demo with other settings", hint=_AGAIN)
    atomic_write(marker, json.dumps(settings, indent=1).encode())


def _refuse_foreign(folder: Path) -> None:
    if (folder / MARKER).exists() or not folder.exists():
        return
    if not folder.is_dir() or any(not each.name.startswith(LOCK) for each in folder.iterdir()):
        raise ConfigError(f"{folder} holds something else", hint="choose another --run")


def _empty(folder: Path) -> None:
    """Remove what an earlier demo made, the marker last: what a kill leaves is still a demo's."""
    for each in folder.iterdir():
        if each.name.startswith(LOCK) or each.name == MARKER:
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
    (folder / MARKER).unlink()


def require_active(evaluation: Evaluation) -> None:
    """Nothing if the policy acts on the test range, and by what it sees.

    Raises:
        GateFailed: it does not.
    """
    bad = [verdict for verdict in evaluation.verdicts if verdict in ("COLLAPSED", "STATE-BLIND")]
    trades = (evaluation.collapse or {}).get("trades_per_1000") or 0.0
    if bad or trades <= MIN_TRADES_PER_1000:
        raise GateFailed(
            f"on the test range the policy is {', '.join(bad) or 'hardly active'}: "
            f"{trades:.0f} trades per 1,000 steps",
            expected=f"no collapse and more than {MIN_TRADES_PER_1000:.0f}",
            hint="try another --seed, or more updates (--set offline.updates=5000)",
        )
