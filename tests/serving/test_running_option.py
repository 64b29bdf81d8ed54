"""A model that chooses among options is served: its state is the account's, and is in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.config import to_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.backtest.evaluation_range import Scenario
from offline_trader.export import OnnxPolicy, OptionStates, export_options, open_model
from offline_trader.features import observation_layout
from offline_trader.learning.options import STATE_COLUMNS, Chooser
from offline_trader.learning.settings import OptionsConfig
from offline_trader.markets import Bars, load_market, nanoseconds
from offline_trader.serving import AuditLog, Desk, RiskLimits, Session, replay
from offline_trader.serving.http_answers import AnswerTold
from offline_trader.serving.http_messages import told
from offline_trader.simulator import SimulatorConfig

RULES = SimulatorConfig(action_mode="target_long_short", borrow_bps_per_year=0.0)
LAYOUT = observation_layout()
MARKET = "synthetic:ou?bars=420&seed=7"


class Scales:
    mean = np.zeros(LAYOUT.size)
    scale = np.ones(LAYOUT.size)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A controller whose choices differ from bar to bar."""
    path = tmp_path_factory.mktemp("model") / "policy.onnx"
    torch.manual_seed(0)
    names = OptionsConfig().names
    chooser = Chooser(names, LAYOUT, RULES, (Scales.mean, Scales.scale), (16, 16), ending=True)
    with torch.no_grad():
        for network in (*chooser.critics, chooser.endings):
            network[-1].weight.mul_(30.0)
            network[-1].bias.zero_()
    states = OptionStates(names, STATE_COLUMNS, (-1.0, 0.0, 0.0))
    facts = {"features": ["builtin"], "simulator": to_dict(RULES)}
    export_options(chooser, states, Scales(), LAYOUT, path, facts)
    return path


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_market(MARKET)


def test_a_session_of_options_is_their_evaluation(file: Path, bars: Bars) -> None:
    found = EvaluationRange.from_env(EnvConfig(market=(MARKET,), simulator=RULES))
    ((run,),) = found.backtests(open_model(file), [Scenario(RULES)])
    start = found.instruments[0].range.start
    session = Session(file).warm_up(bars.slice(0, start))
    decisions = [session.on_bar(bar) for bar in bars.slice(start, len(bars))]
    actions = np.array([each.action for each in decisions[:-1]])
    np.testing.assert_allclose(actions, run.actions, rtol=0.0, atol=1e-6)
    equity = np.array([each.portfolio.equity for each in decisions])
    np.testing.assert_allclose(equity, run.equity, rtol=1e-6)
    ran = [each.option.name for each in decisions if each.option is not None]
    assert len(ran) == len(decisions)
    assert len(set(ran)) >= 3
    ages = [each.option.state[1] for each in decisions if each.option is not None]
    assert max(ages) > 1.0  # options last, so the state was carried


def test_accounts_of_one_model_have_states_of_their_own(file: Path, bars: Bars) -> None:
    model = open_model(file)
    alone = Session(model).warm_up(bars.slice(0, 300))
    expected = [alone.on_bar(bar).option for bar in bars.slice(300, 360)]
    first, second = (Session(model).warm_up(bars.slice(0, n)) for n in (300, 320))
    found = []
    for bar in bars.slice(300, 360):
        found.append(first.on_bar(bar).option)
        if bar.timestamp > bars[320].timestamp:
            second.on_bar(bar)
    assert found == expected


def test_a_model_that_fails_leaves_the_option_as_it_was(file: Path, bars: Bars) -> None:
    session = Session(open_model(file)).warm_up(bars.slice(0, 300))
    before = session.on_bar(bars[300]).option
    model: Any = session.model
    decide = model.decide

    def fail(*_: Any) -> Any:
        raise DataError("the runtime failed")

    model.decide = fail
    held = session.on_bar(bars[301])
    assert held.action is None
    assert held.option is None
    model.decide = decide
    after = session.on_bar(bars[302]).option
    assert before is not None
    assert after is not None
    assert after.name != before.name or after.state[1] == before.state[1] + 1.0


def test_a_desk_goes_on_with_the_option_after_a_restart_and_is_replayed(
    file: Path, bars: Bars, tmp_path: Path, policy: OnnxPolicy
) -> None:
    now = 1.7e9

    def walk(desk: Desk, start: int, stop: int) -> list[AnswerTold]:
        nonlocal now
        found = []
        for bar in bars.slice(start, stop):
            now = nanoseconds(bar.timestamp) / 1e9 + 1.0
            found.append(told(desk.on_bar(bar)))
        return found

    def desk(place: str) -> Desk:
        return Desk(open_model(file), AuditLog(tmp_path / place), clock=lambda: now)

    expected = walk(desk("whole.db").warm_up(bars.slice(0, 300)), 300, 420)
    first = desk("audit.db").warm_up(bars.slice(0, 300))
    found = walk(first, 300, 330)
    first.log.close()
    again = desk("audit.db")
    assert found + walk(again, 330, 420) == expected
    assert len({each["option"] for each in expected}) >= 2
    rows = [entry.content["option"] for entry in again.log.entries("decided")]
    assert [row["name"] for row in rows] == [each["option"] for each in expected]
    assert all(len(row["state"]) == 3 for row in rows)
    assert replay(open_model(file), again.log) == 120
    with pytest.raises(ConfigError, match="is of model"):
        Desk(policy, again.log)


def test_what_would_cut_an_option_short_is_refused(
    file: Path, bars: Bars, tmp_path: Path, policy: OnnxPolicy
) -> None:
    desk = Desk(open_model(file), AuditLog(tmp_path / "a.db")).warm_up(bars.slice(0, 300))
    for act in (desk.swap, desk.put_shadow):
        with pytest.raises(ConfigError, match="chooses among options"):
            act(policy, "a trial")
    with pytest.raises(ConfigError, match="options, and limits"):
        Desk(open_model(file), AuditLog(tmp_path / "b.db"), RiskLimits(min_confidence=0.5))
    with pytest.raises(ConfigError, match="a goal of 1"):
        open_model(file, goal=1.0)
