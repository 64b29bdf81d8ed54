"""The whole line on one market: collect, pretrain, fine-tune, export, evaluate, in one folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.codec import parse_json, read_object, to_json
from offline_trader.datasets import collect
from offline_trader.errors import ConfigError, GateFailed
from offline_trader.locks import locked
from offline_trader.markets import load_markets, parse_source
from offline_trader.pipeline.courses import beyond_bars
from offline_trader.pipeline.evaluating import EvaluateConfig, evaluate_strategy
from offline_trader.pipeline.exporting import Exported, export_run
from offline_trader.pipeline.finetuning import finetune
from offline_trader.pipeline.pretraining import pretrain
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.settings import DEMO, DemoConfig
from offline_trader.pipeline.strategies import find_strategy
from offline_trader.runs import LOCK, atomic_write
from offline_trader.tables.dates import parse_end

if TYPE_CHECKING:
    from offline_trader.evaluation.judging import Evaluation

__all__ = [
    "UNDATED",
    "dated",
    "on_builtin",
    "prepare",
    "require_active",
    "run_demo",
    "shortened",
    "too_long_for",
]

MARKER = "demo.json"
DATASET = "demo/experts-v0"
MIN_TRADES_PER_1000 = 20.0
TRAINED, CHOSEN = 0.7, 0.8
"""Shares of the bars after which training, and the choice of the policy, end on other prices."""
_SETTINGS = "the settings of a demo"
_TRY = "try another --seed, or more updates (--set offline.updates=5000)"
_AGAIN = "run it without --resume, or choose another --run"


def run_demo(
    config: DemoConfig, folder: Path, progress: Progress = Silent(), *, resume: bool = False
) -> tuple[Exported | None, Evaluation]:
    """All five stages under ``folder``; None where the policy is too collapsed to be exported.

    The report is written in any case: it says what is wrong with such a policy.

    Raises:
        ConfigError: the folder holds something that no demo wrote, or another process is at it.
    """
    _refuse_foreign(folder)
    with locked(folder / LOCK, f"the demo's folder {folder}"):
        return _run_stages(config, folder, progress, resume=resume)


def _run_stages(
    config: DemoConfig, folder: Path, progress: Progress, *, resume: bool
) -> tuple[Exported | None, Evaluation]:
    prepare(folder, config, resume=resume)
    datasets = folder / "datasets"
    stage = _Stages(progress)
    stage("collect: experts trade in the simulator")
    with progress.task("collecting", config.transitions) as advance:
        collect(config.collecting(DATASET), advance, root=datasets, resume=resume)
    stage(f"pretrain: {', '.join(_PRETRAINED.get(name, name) for name in config.stages)}")
    pretrain(
        config.pretraining(DATASET), folder / "pretrain", progress, root=datasets, resume=resume
    )
    stage(f"finetune: {_learning_on(config)}")
    finetune(
        config.finetuning(DATASET),
        folder / "pretrain",
        folder / "finetune",
        progress,
        root=datasets,
        resume=resume,
    )
    stage("export: one ONNX file")
    exported = None
    try:
        exported = export_run(folder / "finetune", folder / "export" / "policy.onnx")
    except GateFailed as refusal:
        progress.note(f"not exported: {refusal.found}; the report is of the run's own policy")
    stage("evaluate: bars that nothing has seen")
    judged_policy = folder / "finetune" if exported is None else exported.model
    strategy = find_strategy(str(judged_policy))
    options = replace(config.options, experts=strategy.experts, name="policy", seed=config.seed)
    judged = evaluate_strategy(
        strategy, EvaluateConfig(config.testing(), options), folder / "evaluation", progress
    )
    return exported, judged


_PRETRAINED = {
    "auxiliary": "foretell what bars and experts do",
    "clone": "clone the experts",
    "dagger": "ask the experts",
    "direct": "climb the portfolio's gradient",
    "evolution": "try policies around the best one",
    "offline": "learn offline",
}


def _learning_on(config: DemoConfig) -> str:
    """What the online stage does, in words."""
    online = config.online
    where = "markets that get harder" if online.curriculum.enabled else "the simulator"
    return f"learn on in {where}" + (", with curiosity" if online.curiosity.weight > 0 else "")


def shortened(config: DemoConfig) -> DemoConfig:
    """``config`` with neither curiosity nor curriculum in its fine-tuning."""
    online = config.online
    plain = replace(
        online,
        curiosity=replace(online.curiosity, weight=0.0),
        curriculum=replace(online.curriculum, enabled=False),
    )
    return replace(config, online=plain)


def too_long_for(config: DemoConfig) -> str:
    """What of ``config`` can have no curiosity or no curriculum; empty: nothing."""
    if config.agent != "sac":
        return f"agent={config.agent}"
    if config.online.objectives:
        return "online.objectives"
    if "replay" in config.online.transforms:
        return "online.transforms=replay"
    return ", ".join(beyond_bars(config.env))


class _Stages:
    """Announces the stages with the time that has passed."""

    def __init__(self, progress: Progress) -> None:
        self._note: Callable[[str], None] = progress.note
        self._begun = time.perf_counter()
        self._count = 0

    def __call__(self, text: str) -> None:
        self._count += 1
        self._note(f"[{time.perf_counter() - self._begun:4.0f} s] {self._count}/5 {text}")


UNDATED = replace(
    DEMO, env=replace(DEMO.env, end=None), validation=replace(DEMO.validation, end=None)
)
"""The demo on other bars, whose dates :func:`dated` finds."""


def on_builtin(market: Sequence[str]) -> bool:
    """Whether all bars are built-in ones, whose dates :data:`DEMO` has."""
    return all(parse_source(source)[0] == "builtin" for source in market)


def dated(config: DemoConfig) -> DemoConfig:
    """``config`` with the ends of training and validation that it leaves open.

    Training has the first 70 % of the bars, the choice of the policy the next 10 %, as on the
    built-in market; of several instruments all bars are counted together.

    Raises:
        ConfigError, DataError: bars that cannot be read.
    """
    env, validation = config.env, config.validation
    stamps = np.sort(np.concatenate([b.timestamps for b in load_markets(env.market, tz=env.tz)]))
    if env.end is None:
        seen = stamps if validation.end is None else stamps[stamps < parse_end(validation.end)]
        share = TRAINED if validation.end is None else TRAINED / CHOSEN
        env = replace(env, end=_day(seen, share))
        if validation.end is None:
            validation = replace(validation, end=_day(stamps, CHOSEN))
    elif validation.end is None:
        later = stamps[stamps >= parse_end(env.end)]
        share = (CHOSEN - TRAINED) / (1.0 - TRAINED)
        validation = replace(validation, end=_day(later, share))
    return replace(config, env=env, validation=validation)


def _day(stamps: NDArray[Any], share: float) -> str:
    """The day of the bar after ``share`` of the bars.

    Raises:
        ConfigError: there are no bars.
    """
    if not len(stamps):
        raise ConfigError("no bars are left beside the dates given", expected="dates within them")
    return str(stamps[min(int(share * len(stamps)), len(stamps) - 1)].astype("datetime64[D]"))


def prepare(folder: Path, config: DemoConfig, *, resume: bool) -> None:
    """Make ``folder`` a demo's: empty it of an earlier one, unless that goes on."""
    _refuse_foreign(folder)
    marker = folder / MARKER
    settings = to_json(config, indent=1)
    if marker.exists():
        if not resume:
            _empty(folder)
        elif read_object(marker, what=_SETTINGS, hint=_AGAIN) != parse_json(settings):
            raise ConfigError(f"{folder} holds a demo with other settings", hint=_AGAIN)
    atomic_write(marker, settings.encode())


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


def require_active(evaluation: Evaluation, exported: Exported | None) -> None:
    """Nothing if the policy was exported, acts on the test range, and by what it sees.

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
            hint=_TRY,
        )
    if exported is None:
        raise GateFailed(
            "the policy is COLLAPSED on the bars that chose it, so it was not exported",
            expected="a policy whose deterministic actions differ from state to state",
            hint=_TRY,
        )
