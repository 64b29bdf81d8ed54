"""The windows of a walk-forward: where each training, validation and test lies in time."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import BarRange

__all__ = ["Fold", "WindowConfig", "make_folds"]


@dataclass(frozen=True)
class WindowConfig:
    """How bars are cut into folds. All lengths are in bars.

    Attributes:
        train_bars: length of the training range; with ``anchored`` the length of the first one.
        validation_bars: length of the range after it that picks the checkpoint.
        test_bars: length of the range that is judged; windows advance by this much, so that
            test ranges touch and never overlap.
        anchored: every training range starts at the first bar (expanding window).
        purge_bars: left out between training and validation and between validation and test,
            at least the longest label or holding horizon.
        embargo_bars: left out of training, at its end, after a previous test range has been seen
            (serial correlation); added to the purge.
        retrain_every: windows between trainings; those between reuse the last policy.
        warm_start: a training starts from the previous one's policy (folds run in order).
    """

    train_bars: int = 1260
    validation_bars: int = 252
    test_bars: int = 252
    anchored: bool = False
    purge_bars: int = 5
    embargo_bars: int = 0
    retrain_every: int = 1
    warm_start: bool = False

    def __post_init__(self) -> None:
        for name in ("train_bars", "validation_bars", "test_bars", "retrain_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"windows.{name} = {getattr(self, name)}", expected="1 or more")
        for name in ("purge_bars", "embargo_bars"):
            if getattr(self, name) < 0:
                raise ConfigError(f"windows.{name} = {getattr(self, name)}", expected="0 or more")


@dataclass(frozen=True)
class Fold:
    """One window.

    Attributes:
        index: 0-based position in time.
        train, validation, test: bar ranges, in this order, separated by the purge.
        trained_by: index of the fold whose training this fold uses (itself when it trains).
        warm_from: index of the fold whose policy training starts from, or None.
    """

    index: int
    train: BarRange
    validation: BarRange
    test: BarRange
    trained_by: int
    warm_from: int | None


def make_folds(n_bars: int, config: WindowConfig, first_bar: int = 0) -> tuple[Fold, ...]:
    """Folds over bars ``first_bar`` (the end of the features' warm-up) to ``n_bars``.

    Raises:
        DataError: not one window fits.
    """
    gap = config.purge_bars
    head = config.train_bars + config.embargo_bars + config.validation_bars + 2 * gap
    needed = first_bar + head + config.test_bars
    if n_bars < needed:
        raise DataError(
            f"walk-forward: {n_bars} bars",
            expected=f"at least {needed} for one window",
            hint="shorten windows.train_bars, windows.validation_bars or windows.test_bars",
        )
    folds = []
    for index in range((n_bars - first_bar - head) // config.test_bars):
        offset = first_bar + index * config.test_bars
        train_stop = offset + config.train_bars
        validation = train_stop + config.embargo_bars + gap
        test = validation + config.validation_bars + gap
        trained_by = index - index % config.retrain_every
        previous = trained_by - config.retrain_every
        folds.append(
            Fold(
                index=index,
                train=BarRange(first_bar if config.anchored else offset, train_stop),
                validation=BarRange(validation, validation + config.validation_bars),
                test=BarRange(test, test + config.test_bars),
                trained_by=trained_by,
                warm_from=previous if config.warm_start and previous >= 0 else None,
            )
        )
    return tuple(folds)
