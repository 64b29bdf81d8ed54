"""Does the line find a signal that is there? A user's line, on markets with a planted one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.codec import read_object, to_json
from offline_trader.config import to_dict
from offline_trader.datasets import collect
from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.measures import collapse_of
from offline_trader.evaluation.power import (
    SIGNAL,
    Planted,
    Split,
    claim,
    judged_optimum,
    plant,
    power_charts,
    power_curve,
    power_sentence,
    signal_rule,
)
from offline_trader.evaluation.report.png import write_pngs
from offline_trader.features import WARMUP_BARS
from offline_trader.learning.settings import CloneConfig, DirectConfig, OfflineConfig
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.pipeline.folds import window_env, window_line
from offline_trader.pipeline.pretraining import pretrain
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.settings import WALK_FORWARD, LineConfig, refuse_dates
from offline_trader.pipeline.trained_runs import finished_run, trained_policy
from offline_trader.runs import atomic_write
from offline_trader.types import digest
from offline_trader.workers import Report, Workers, run_jobs, usable_workers

__all__ = ["PowerConfig", "power"]

_DATASET = "power/experts-v0"
_RESULT, _BARS = "result.json", "bars.csv"


@dataclass(frozen=True)
class PowerConfig(LineConfig):
    """The line, and the markets that it is tried on. ``env.market`` is the history.

    The stages are those of :data:`~offline_trader.pipeline.settings.WALK_FORWARD`: policies are
    judged by their Sharpe ratio, and there are many.

    ``env.start`` and ``env.end`` say how much of the history is drawn from.

    Attributes:
        coefficients: information coefficients; 0 shows what is claimed where there is nothing.
        seeds: markets for each coefficient.
        train_years, validation_years, test_years: bars of each part, in years of the history.
        persistence: AR(1) coefficient of the signal from bar to bar.
        beside: the signal stands beside the features of ``env.features``; otherwise alone.
    """

    transitions: int = WALK_FORWARD.transitions
    clone: CloneConfig = WALK_FORWARD.clone
    direct: DirectConfig = WALK_FORWARD.direct
    offline: OfflineConfig = WALK_FORWARD.offline
    coefficients: tuple[float, ...] = (0.0, 0.05, 0.1)
    seeds: int = 8
    train_years: float = 12.0
    validation_years: float = 1.0
    test_years: float = 4.0
    persistence: float = 0.95
    beside: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.env.market) != 1:
            raise ConfigError(
                f"env.market names {len(self.env.market)} markets", expected="one instrument"
            )
        if not self.coefficients or any(not 0.0 <= each < 1.0 for each in self.coefficients):
            raise ConfigError(f"coefficients = {self.coefficients}", expected="numbers in [0, 1)")
        named = [f"{each:g}" for each in self.coefficients]
        if len(set(named)) < len(named):
            raise ConfigError(
                f"coefficients = {', '.join(named)}",
                expected="each once: the same markets would count twice",
            )
        refuse_dates(self.validation, "power", "train_years and validation_years")
        if self.seeds < 1:
            raise ConfigError(f"seeds = {self.seeds}", expected="1 or more")
        for name in ("train_years", "validation_years", "test_years"):
            if not 0.05 <= getattr(self, name) <= 1000.0:
                raise ConfigError(f"{name} = {getattr(self, name)}", expected="0.05 to 1000")

    def split(self, history: Bars) -> Split:
        """The parts in bars."""
        years = (self.train_years, self.validation_years, self.test_years)
        return Split(WARMUP_BARS, *(round(each * history.periods_per_year) for each in years))


@dataclass(frozen=True)
class _Job:
    """One market: plant, collect, train, judge; its result stays in its folder."""

    config: PowerConfig
    coefficient: float
    seed: int
    folder: Path

    def __call__(self, report: Report, /) -> None:
        """Write the result, unless that was done before with these settings.

        What needs no training is added to a result that lacks it.
        """
        history = _history(self.config)
        stated = digest({"config": to_dict(self._line_only()), "history": history.sha256})
        known = _known(self.folder / _RESULT, stated)
        if known is not None and "optimum_sharpe" not in known:
            self._write({**known, **self._optimum(self._planted(history))})
        if known is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._write({"settings": stated, **self._judged(history)})
            for heavy in ("datasets", "run"):
                shutil.rmtree(self.folder / heavy, ignore_errors=True)
        report(1.0)

    def _line_only(self) -> PowerConfig:
        """The settings that decide this market's result, whatever others are tried beside it."""
        seed = self.config.seed + self.seed
        return replace(self.config, coefficients=(self.coefficient,), seeds=1, seed=seed)

    def _write(self, result: Mapping[str, Any]) -> None:
        atomic_write(self.folder / _RESULT, to_json(result, indent=1).encode())

    def _planted(self, history: Bars) -> Planted:
        config = self.config
        return plant(
            history,
            config.split(history),
            self.coefficient,
            persistence=config.persistence,
            seed=self.seed,
        )

    def _optimum(self, planted: Planted) -> dict[str, Any]:
        return judged_optimum(planted, self.config.env.simulator, self.seed)

    def _judged(self, history: Bars) -> dict[str, Any]:
        planted = self._planted(history)
        file = self.folder / _BARS
        frame = planted.bars.to_frame()
        frame[SIGNAL] = planted.signal
        frame.index.name = "timestamp"
        frame.to_csv(file)
        line, test = self._line(planted, file)
        collect(line.collecting(_DATASET), root=self.folder / "datasets")
        pretrain(line.pretraining(_DATASET), self.folder / "run", root=self.folder / "datasets")
        policy = trained_policy(finished_run(self.folder / "run"), unverified=True).act
        span, rules = EvaluationRange.from_env(test), line.env.simulator
        own = span.account(policy, rules)
        rule = signal_rule(EvaluationRange.from_env(line.env), rules)
        ruled = span.account(rule, rules)
        collapse = collapse_of(own.backtests)
        periods = history.periods_per_year
        return {
            "coefficient": self.coefficient,
            "seed": self.seed,
            **claim("", own.returns, periods, self.seed),
            **claim("rule_", ruled.returns, periods, self.seed),
            **self._optimum(planted),
            "trades": int(sum(one.traded.sum() for one in own.backtests)),
            "exposure": float(np.mean([np.abs(one.exposure).mean() for one in own.backtests])),
            "verdicts": list(collapse.verdicts),
        }

    def _line(self, planted: Planted, file: Path) -> tuple[LineConfig, Any]:
        """The line on the training bars, and the environment of the test bars."""
        split, bars = planted.split, load_market(str(file))
        features = (*(self.config.env.features if self.config.beside else ()), f"signal:{SIGNAL}")
        env = replace(self.config.env, market=(str(file),), features=features, tz=None)
        first = split.warm_up
        train = BarRange(first, first + split.train)
        chosen = BarRange(train.stop, train.stop + split.validation)
        config = replace(self.config, env=env)
        line = window_line(config, bars, train, chosen, self.config.seed + self.seed)
        return line, window_env(env, bars, BarRange(chosen.stop - 1, split.total))


def power(
    config: PowerConfig, folder: Path, progress: Progress = Silent(), *, workers: Workers = 1
) -> dict[str, Any]:
    """Try the line on every market; points of the curve, one sentence, a picture.

    Finished markets of the same settings are kept in ``folder``, so a stopped command goes on, and
    one with more seeds or coefficients adds to what is there.

    Raises:
        ConfigError, DataError: a history that is too short or cannot be read.
    """
    workers = usable_workers(workers)
    history = _history(config)
    plant(history, config.split(history), 0.0)  # refuses what is too short before anything is made
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        _Job(config, coefficient, seed, folder / "markets" / f"{coefficient:g}-{seed}")
        for seed in range(config.seeds)
        for coefficient in config.coefficients
    ]
    done = np.zeros(len(jobs))
    with progress.task("markets", len(jobs)) as advance:

        def told(job: int, value: float) -> None:
            done[job] = value
            advance(float(done.sum()))

        run_jobs(jobs, workers, told, folder=folder)
    results = [_read(job.folder / _RESULT) for job in jobs]
    points = power_curve(results)
    rules = config.env.simulator
    cost = rules.commission_bps + rules.half_spread_bps + rules.slippage_bps
    sentence = power_sentence(points, config.train_years, cost)
    payload = {
        "history": config.env.market[0],
        "points": [asdict(each) for each in points],
        "sentence": sentence,
        "results": results,
        "settings": to_dict(config),
    }
    atomic_write(folder / "power.json", to_json(payload, indent=1).encode())
    write_pngs(
        power_charts(points), folder, f"{config.env.market[0]}, {config.train_years:g} years"
    )
    return payload


def _history(config: PowerConfig) -> Bars:
    env = config.env
    return load_market(env.market[0], tz=env.tz).between(env.start, env.end)


def _known(file: Path, stated: str) -> Mapping[str, Any] | None:
    if not file.is_file():
        return None
    result = _read(file)
    return result if result.get("settings") == stated else None


def _read(file: Path) -> dict[str, Any]:
    return read_object(file, what="the result of one market", hint="delete its folder")
