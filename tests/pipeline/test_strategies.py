"""What is known of a strategy's making, and what a later evaluation refuses for it."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError
from offline_trader.pipeline.strategies import last_day_seen, require_bars


@pytest.mark.parametrize(
    ("training", "validation", "day"),
    [
        ({"end": "2012-12-31"}, None, "2012-12-31"),
        ({"end": "2012"}, None, "2012-12-31"),
        ({"end": "2012-02"}, None, "2012-02-29"),
        ({"end": "2012-06-30T15:30"}, None, "2012-06-30"),
        ({"end": "2012-06-30"}, {"end": "2012"}, "2012-12-31"),
        ({"end": "2013"}, {"end": "2013-06-30"}, "2013-12-31"),
        ({"end": None}, None, "2018-12-31"),
    ],
)
def test_the_last_day_that_training_or_choice_saw(
    training: dict[str, str | None], validation: dict[str, str | None] | None, day: str
) -> None:
    trained = EnvConfig(market=("nasdaq",), end=training["end"])
    chosen = None if validation is None else EnvConfig(end=validation["end"])
    assert last_day_seen(trained, chosen) == day


def test_a_market_that_is_gone_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"gone\.csv#A: no such file(.|\n)*--market"):
        require_bars(EnvConfig(market=("gone.csv#A",)), "2012-12-31")


@pytest.mark.parametrize("seen", ["2018-12-31", "2020-01-01"])
def test_a_market_without_later_bars_is_refused_with_what_to_do(seen: str) -> None:
    env = EnvConfig(market=("sp500",), start=str(np.datetime64(seen) + 1))
    with pytest.raises(DataError, match=rf"until {seen}(.|\n)*--start"):
        require_bars(env, seen)


def test_bars_that_training_saw_may_be_asked_for() -> None:
    require_bars(EnvConfig(market=("sp500",), start="2017"), "2018-12-31")
    require_bars(EnvConfig(market=("sp500",)), "")
