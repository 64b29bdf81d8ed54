"""The validation range: where it may lie, and that it is checked before anything is trained."""

from __future__ import annotations

import pytest

from offline_trader.cli.validation import ValidationConfig
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError

TRAINING = EnvConfig(end="2012")


def test_a_year_as_the_trainings_end_is_included_as_a_whole() -> None:
    env = ValidationConfig(end="2014").env(TRAINING)
    assert env is not None
    # 2012-12-31 is the last training bar; five bars are left out.
    assert (env.start, env.end) == ("2013-01-09", "2014")
    assert (env.episode_bars, env.random_start) == (None, False)


@pytest.mark.parametrize("start", ["2012-06-01", "2012-12-31", "2012"])
def test_a_validation_inside_the_training_range_is_refused(start: str) -> None:
    with pytest.raises(ConfigError, match=r"validation\.start is 2012"):
        ValidationConfig(start=start, end="2014-12-31").env(TRAINING)


@pytest.mark.parametrize("end", ["2009-01-01", "2012-12-31", "2013-01-08"])
def test_a_validation_that_ends_before_it_begins_is_refused(end: str) -> None:
    with pytest.raises(ConfigError, match=rf"validation\.end is {end}"):
        ValidationConfig(end=end).env(TRAINING)


def test_a_range_without_bars_is_refused() -> None:
    with pytest.raises(DataError, match="no bars from 2030-01-01 to 2031"):
        ValidationConfig(start="2030-01-01", end="2031").env(TRAINING)


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="date 'soon' cannot be read"):
        ValidationConfig(end="soon").env(TRAINING)
