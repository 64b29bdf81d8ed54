"""``offline-trader walk-forward``: train on each past, judge on each future, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.finetune import FinetuneConfig, finetune_run
from offline_trader.cli.options import (
    Config,
    DryRun,
    Json,
    Quiet,
    RunName,
    Seed,
    Settings,
    examples,
    resolve,
    show_settings,
)
from offline_trader.cli.phases import POLICY_FILE
from offline_trader.cli.pretrain import PretrainConfig, pretrain
from offline_trader.cli.validation import ValidationConfig, roll_once
from offline_trader.config import to_dict
from offline_trader.datasets import CollectConfig, collect
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward import (
    Fold,
    FoldResult,
    WalkForwardResult,
    WindowConfig,
    make_folds,
    walk_forward,
)
from offline_trader.features import WARMUP_BARS, observation_layout
from offline_trader.learning.settings import (
    CloneConfig,
    LearnerConfig,
    OfflineConfig,
    OnlineConfig,
)
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.runs import atomic_write
from offline_trader.simulator import SimulatorConfig

if TYPE_CHECKING:
    from offline_trader.evaluation.record import Evaluation
    from offline_trader.types import Policy

__all__ = ["EXAMPLES", "LineJob", "WalkForwardConfig", "command"]

EXAMPLES = examples(
    "offline-trader walk-forward --market sp500",
    "offline-trader walk-forward --market prices.csv --set windows.test_bars=126 --workers 2",
    "offline-trader walk-forward --market nasdaq --set windows.anchored=true "
    "--set windows.retrain_every=2",
)


@dataclass(frozen=True)
class WalkForwardConfig:
    """One walk-forward: the windows, and the line that is run on each.

    Attributes:
        market: a built-in market or a file with one instrument.
        tz: time zone of times that carry none.
        windows: how the bars are cut.
        simulator: trading rules and costs.
        experts: the behaviour mixture.
        transitions: expert steps to collect a window.
        learner, clone, offline: the pretraining.
        finetune: whether online training follows.
        online, lanes: the online training.
        seed: of everything; each fold derives its own.
    """

    market: str = "sp500"
    tz: str | None = None
    windows: WindowConfig = field(default_factory=WindowConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    experts: tuple[str, ...] = field(default_factory=lambda: CollectConfig().experts)
    transitions: int = 50_000
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    clone: CloneConfig = field(default_factory=lambda: CloneConfig(updates=1_500))
    offline: OfflineConfig = field(default_factory=lambda: OfflineConfig(updates=2_000))
    finetune: bool = True
    online: OnlineConfig = field(default_factory=lambda: OnlineConfig(steps=5_000))
    lanes: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.windows.warm_start and not self.finetune:
            raise ConfigError(
                "windows.warm_start = true with finetune = false",
                expected="finetune = true: a warm start goes on training the last policy online",
            )


@dataclass(frozen=True)
class LineJob:
    """Trains and judges one fold; see :class:`offline_trader.evaluation.walk_forward.FoldJob`."""

    config: WalkForwardConfig

    def to_dict(self) -> dict[str, Any]:
        """The settings and the market's hash."""
        market = load_market(self.config.market, tz=self.config.tz)
        return {**to_dict(self.config), "market_sha256": market.sha256}

    def __call__(self, fold: Fold, directory: Path, policies: Path) -> FoldResult:
        """Result of ``fold``."""
        from offline_trader.experts import ExpertPolicy, get_expert
        from offline_trader.learning.learner import load_learner

        bars = load_market(self.config.market, tz=self.config.tz)
        if fold.trained_by == fold.index:
            self._train(fold, bars, directory, policies)
        trained = _final_run(policies / f"fold-{fold.trained_by:03d}", self.config.finetune)
        # The first decision is taken at the close before the test range.
        env = self._env(bars, BarRange(fold.test.start - 1, fold.test.stop))
        own = roll_once(load_learner(trained / POLICY_FILE).act, env)
        hold: Policy = ExpertPolicy(
            get_expert("buy_and_hold"), observation_layout(), self.config.simulator
        )
        held = roll_once(hold, env)
        stamps = bars.timestamps[fold.test.start : fold.test.stop]
        returns = _padded(np.expm1(own.log_returns[0]), len(stamps))
        collapse = own.collapse(self.config.simulator.hold_threshold)
        return FoldResult(
            timestamps=np.datetime_as_string(stamps.astype("datetime64[s]")).tolist(),
            returns=returns,
            benchmark=_padded(np.expm1(held.log_returns[0]), len(stamps)),
            facts={
                "trades": int(np.count_nonzero(own.traded)),
                "verdicts": list(collapse.verdicts),
            },
        )

    def _env(self, bars: Bars, part: BarRange, episode_bars: int | None = None) -> EnvConfig:
        return EnvConfig(
            market=(self.config.market,),
            tz=self.config.tz,
            start=_moment(bars, part.start),
            end=_moment(bars, part.stop - 1),
            episode_bars=episode_bars,
            random_start=episode_bars is not None,
            simulator=self.config.simulator,
        )

    def _train(self, fold: Fold, bars: Bars, directory: Path, policies: Path) -> None:
        config, quiet = self.config, Terminal(quiet=True, as_json=True)
        seed = int(np.random.SeedSequence([config.seed, fold.index]).generate_state(1)[0])
        root = directory / "datasets"
        env = self._env(bars, fold.train, min(1_000, len(fold.train) - 1))
        plan = CollectConfig(
            dataset_id="walk-forward/experts-v0",
            env=env,
            experts=config.experts,
            transitions=config.transitions,
            seed=seed,
        )
        collect(plan, lambda *_: None, root=root, resume=True, overwrite=True)
        validation = ValidationConfig(
            start=_moment(bars, fold.validation.start),
            end=_moment(bars, fold.validation.stop - 1),
        )
        parent = directory / "pretrain"
        if fold.warm_from is None:
            settings = PretrainConfig(
                dataset=plan.dataset_id,
                learner=config.learner,
                clone=config.clone,
                offline=config.offline,
                validation=validation,
                seed=seed,
            )
            pretrain(settings, parent, quiet, root=root, resume=True)
        else:
            parent = _final_run(policies / f"fold-{fold.warm_from:03d}", finetune=True)
        if config.finetune:
            online = FinetuneConfig(
                dataset=plan.dataset_id,
                env=env,
                learner=replace(config.learner, algorithm="sac"),
                online=config.online,
                lanes=config.lanes,
                validation=validation,
                seed=seed,
            )
            finetune_run(online, parent, directory / "finetune", quiet, root=root, resume=True)


def _final_run(directory: Path, finetune: bool) -> Path:
    return directory / ("finetune" if finetune else "pretrain")


def _moment(bars: Bars, row: int) -> str:
    return str(bars.timestamps[row].astype("datetime64[s]"))


def _padded(returns: np.ndarray[Any, np.dtype[np.float64]], length: int) -> list[float]:
    """Returns [length]: a portfolio that was ruined stays as it is to the range's end."""
    return [*returns.tolist(), *[0.0] * (length - len(returns))]


def command(
    market: Annotated[
        str | None, typer.Option("--market", help="Built-in market, CSV or Parquet file.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", help="Folds at once, each in a process of its own.")
    ] = 1,
    run: RunName = Path("runs/walk-forward"),
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the whole line on windows that move through time, and judge each on its own future.

    Finished windows with the same settings are kept, so an interrupted walk goes on by the same
    command. The result does not depend on the number of workers.
    """
    from offline_trader.evaluation.report import write_report

    terminal = Terminal(as_json=as_json, quiet=quiet)
    plan = resolve(WalkForwardConfig, config, settings, market=market, seed=seed)
    bars = load_market(plan.market, tz=plan.tz)
    folds = make_folds(len(bars), plan.windows, WARMUP_BARS)
    if dry_run:
        terminal.note(f"{len(folds)} windows on {len(bars):,} bars of {plan.market}")
        show_settings(terminal, plan)
        return
    done: set[int] = set()
    with terminal.progress("walking forward", len(folds)) as advance:

        def finished(index: int, _: FoldResult) -> None:
            done.add(index)
            advance(len(done))

        result = walk_forward(
            folds,
            LineJob(plan),
            run,
            periods_per_year=bars.periods_per_year,
            workers=workers,
            on_fold=finished,
        )
    from offline_trader.cli.console import plain_json

    payload = {"market": plan.market, "config": to_dict(plan), **result.to_dict()}
    atomic_write(run / "walk_forward.json", plain_json(payload).encode())
    write_report(_evaluation(plan, result), run / "report.html", png_directory=run / "plots")
    _print(terminal, result)
    terminal.line(f"report: {run / 'report.html'}")
    terminal.result(payload)


def _evaluation(plan: WalkForwardConfig, result: WalkForwardResult) -> Evaluation:
    """The joined test ranges as one evaluation, with a row for each window."""
    import pandas as pd

    from offline_trader.evaluation.imported import ImportOptions, evaluate_imported
    from offline_trader.evaluation.record import WindowRow

    stamps = [stamp for r in result.results for stamp in r.timestamps]
    series = pd.Series(result.returns, index=pd.DatetimeIndex(stamps), name="returns")
    options = ImportOptions(name="walk-forward", kind="returns", benchmark="", seed=plan.seed)
    joined = evaluate_imported(series, options)
    windows = tuple(
        WindowRow(
            name=str(row["window"]),
            start=row["start"],
            end=row["end"],
            n=row["bars"],
            sharpe=row["sharpe"],
            sharpe_interval=_interval(row["sharpe"], row["bars"], result.periods_per_year),
            total_return=row["return"],
            benchmark_return=row["hold_return"],
            max_drawdown=row["max_drawdown"],
            trades=row["trades"],
        )
        for row in result.table()
    )
    return replace(joined, windows=windows)


def _interval(sharpe: float | None, n: int, periods_per_year: float) -> tuple[float, float] | None:
    """95 % interval of a Sharpe ratio by its large-sample error for independent returns
    (Lo 2002, equation 9): √((1 + SR²/2)/n) a period."""
    if sharpe is None:
        return None
    per_bar = sharpe / math.sqrt(periods_per_year)
    half = 1.96 * math.sqrt((1.0 + 0.5 * per_bar**2) / n) * math.sqrt(periods_per_year)
    return sharpe - half, sharpe + half


def _print(terminal: Terminal, result: WalkForwardResult) -> None:
    columns = ("window", "start", "end", "return", "sharpe", "max_drawdown", "trades")
    terminal.table(
        "",
        [*columns, "buy and hold", "its Sharpe", "verdict"],
        [
            [
                *(row[name] for name in columns),
                row["hold_return"],
                row["hold_sharpe"],
                ", ".join(row["verdicts"]) or "–",
            ]
            for row in result.table()
        ],
    )
    total = result.summary()
    spread = total["sharpe_std_between_windows"]
    terminal.line(
        f"{total['windows']} windows: Sharpe ratio above 0 in "
        f"{total['share_positive_sharpe'] or 0.0:.0%}, ahead of buy-and-hold in "
        f"{total['share_beating_hold']:.0%}; between windows its standard deviation is "
        f"{'–' if spread is None else format(spread, '.2f')}"
    )
    terminal.line(
        f"joined: return {total['return']:.1%}, Sharpe {total['sharpe'] or 0.0:.2f}, "
        f"drawdown {total['max_drawdown']:.1%}; buy-and-hold {total['hold_return']:.1%}, "
        f"{total['hold_sharpe'] or 0.0:.2f}, {total['hold_max_drawdown']:.1%}"
    )
