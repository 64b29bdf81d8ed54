"""Rules of the user's own: functions of two sets of columns, named with the line when wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.experts import ExpertPolicy, expert_text, get_expert, parse_behaviour
from offline_trader.experts.interface import Columns
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import ObservationLayout

RULES = '''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np

@dataclass
class State:
    x: int = 1

LIMIT = 0.4

def dips(features, portfolio, size=0.6, rsi=0.4):
    """Buys weakness.

    Sells nothing."""
    flat = portfolio["exposure"] < 1e-3
    return np.where(flat & (features["rsi_14"] < rsi), size, 0.0)

def half(features, portfolio, space="target"):
    return np.full(features.rows, 0.5)

def scalar(features, portfolio):
    return 0.5

def nothing(features, portfolio):
    return np.full(features.rows, np.nan)

def broken(features, portfolio):
    return features["rsi_14"] / portfolio["no_such"]

def raises(features, portfolio):
    x = [1, 2]
    return x[7]

def no_default(features, portfolio, size):
    return 0.0

def one(features):
    return 0.0

def elsewhere(features, portfolio, space="sideways"):
    return 0.0
'''


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "my_rules.py"
    path.write_text(RULES, encoding="utf-8")
    return str(path)


def columns(layout: ObservationLayout, n: int = 4) -> tuple[Columns, Columns]:
    rng = np.random.default_rng(0)
    features = Columns(layout.features, rng.uniform(0, 1, (n, len(layout.features))))
    return features, Columns(layout.portfolio, np.zeros((n, len(layout.portfolio))))


def test_a_function_is_an_expert_with_its_defaults_as_parameters(
    rules: str, layout: ObservationLayout
) -> None:
    expert = get_expert(f"{rules}:dips", size=0.3, rsi=1.0)
    assert (expert.summary, expert.space) == ("Buys weakness.", "order")
    np.testing.assert_array_equal(expert(*columns(layout)), np.full(4, 0.3))
    parsed, weight = parse_behaviour(f"{rules}:dips?weight=2&epsilon=0.1&rsi=0")
    assert weight == 2.0
    assert len(parsed.noise) == 1
    np.testing.assert_array_equal(parsed.expert(*columns(layout)), np.zeros(4))


def test_the_space_is_a_parameter(
    rules: str, layout: ObservationLayout, market: MarketTensor
) -> None:
    expert = get_expert(f"{rules}:half")
    assert expert.space == "target"
    observations = np.zeros((3, layout.size), dtype=np.float32)
    target = SimulatorConfig(action_mode="target_long")
    np.testing.assert_allclose(ExpertPolicy(expert, layout, target).decide(observations), 0.5)
    assert get_expert(f"{rules}:half", space="order").space == "order"
    with pytest.raises(ConfigError, match="sideways"):
        get_expert(f"{rules}:elsewhere")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scalar", r"shape \(\) for 4 lanes"),
        ("nothing", "returned nan for row 0"),
        ("broken", "no column 'no_such'"),
        ("raises", r"my_rules\.py line 33: IndexError"),
    ],
)
def test_a_wrong_answer_is_named(
    rules: str, layout: ObservationLayout, name: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        get_expert(f"{rules}:{name}")(*columns(layout))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_default", "parameter 'size' has no default"),
        ("one", "takes features"),
        ("absent", "no function 'absent'"),
        ("LIMIT", "no function 'LIMIT'"),
    ],
)
def test_what_is_no_rule_is_refused(rules: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_expert(f"{rules}:{name}")


def test_missing_files_and_parameters_are_named(rules: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        get_expert(f"{tmp_path}/absent.py:dips")
    with pytest.raises(ConfigError, match="no parameter 'sizes'"):
        get_expert(f"{rules}:dips", sizes=1.0)


def test_the_files_hash_is_part_of_the_experts_form(rules: str) -> None:
    before = get_expert(f"{rules}:dips").to_dict()
    Path(rules).write_text(RULES.replace("size=0.6", "size=0.7"), encoding="utf-8")
    after = get_expert(f"{rules}:dips").to_dict()
    assert before["sha256"] != after["sha256"]
    assert "sha256" not in get_expert("technical").to_dict()


def test_texts_keep_changed_parameters(rules: str) -> None:
    changed = get_expert(f"{rules}:dips", size=0.25)
    text = expert_text(changed.to_dict())
    assert parse_behaviour(text)[0].expert.to_dict() == changed.to_dict()
    assert expert_text(get_expert("technical").to_dict()) == "technical"
    assert expert_text(get_expert("technical", large=0.5).to_dict()) == "technical?large=0.5"
