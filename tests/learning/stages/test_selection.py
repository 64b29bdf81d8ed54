"""Which policy a stage keeps: paired differences to the warm start, and who is a candidate."""

from __future__ import annotations

import io
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats

from offline_trader.errors import DataError
from offline_trader.learning.stages import TrainResult, Validated
from offline_trader.learning.stages.batch_means import paired_interval
from offline_trader.learning.stages.selection import Selection

BARS = 400


class Numbered:
    """An agent whose policy is a number."""

    def __init__(self) -> None:
        self.number = 0

    def policy(self) -> Any:
        return self.number

    def snapshot(self) -> dict[str, Any]:
        return {"number": self.number}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.number = snapshot["number"]


def market(seed: int = 0) -> Any:
    return 0.01 * np.random.default_rng(seed).standard_normal(BARS)


def chosen(policies: list[Any], *, preferred: bool = False) -> tuple[TrainResult, int]:
    """The result of validating ``policies`` in turn, and the number of the one that is kept."""
    agent: Any = Numbered()
    judge: Any = policies.__getitem__
    selection = Selection(judge, None, preferred=preferred)
    for number in range(len(policies)):
        agent.number = number
        selection.consider(number, agent)
    result = selection.finish(len(policies) - 1, 10, agent)
    return result, agent.number


STAYS_OUT = Validated({"score": math.nan}, np.zeros(BARS), active=False, bars_per_year=250.0)


def judged(growth: Any, *, active: bool = True, foretold: Any = None) -> Validated:
    score = {"score": float(growth.mean() / growth.std())}
    return Validated(score, growth, active, 250.0, foretold)


def test_a_higher_score_within_noise_is_not_enough() -> None:
    """The same bars but for independent noise: the Sharpe ratio is higher, the bound is below 0."""
    warm = market()
    rng = np.random.default_rng(1)
    noise = 0.01 * rng.standard_normal(BARS)
    other = warm + noise - noise.mean() + 0.0004
    result, kept = chosen([judged(warm), judged(other)])
    assert result.last_score is not None
    assert result.warm_score is not None
    assert result.last_score > result.warm_score
    assert (result.kept, kept) == ("warm_start", 0)
    assert result.difference == pytest.approx(250 * 0.0004)
    assert result.interval is not None
    assert result.interval[0] < 0 < result.interval[1]
    result, kept = chosen([judged(warm), judged(other)], preferred=True)
    assert (result.kept, kept) == ("best", 1)
    assert "preferred" in result.reason


def test_a_small_difference_that_is_always_there_is_enough() -> None:
    warm = market()
    result, kept = chosen([judged(warm), judged(warm + 0.0001), judged(warm - 0.0001)])
    assert (result.kept, result.kept_step, kept) == ("best", 1, 1)
    assert result.reason == "better than the warm start"


def test_a_preferred_stage_is_not_kept_where_it_is_worse() -> None:
    result, kept = chosen([judged(market()), judged(market() - 0.0001)], preferred=True)
    assert (result.kept, kept) == ("warm_start", 0)


def test_the_highest_lower_bound_wins_not_the_highest_mean() -> None:
    warm = market()
    wild = warm + 0.01 * np.random.default_rng(2).standard_normal(BARS) + 0.0012
    result, kept = chosen([judged(warm), judged(wild), judged(warm + 0.0004)])
    assert kept == 2, result


def test_who_hardly_trades_is_no_candidate_unless_all_hardly_do() -> None:
    warm, better = market(), market() + 0.0003
    assert chosen([judged(warm), judged(better, active=False)])[1] == 0
    assert chosen([judged(better, active=False), judged(warm)])[1] == 1
    assert chosen([judged(warm, active=False), judged(better, active=False)])[1] == 1
    both = [judged(warm), judged(better, active=False), judged(warm + 0.0001)]
    assert chosen(both)[1] == 2


def test_staying_out_is_a_policy_where_the_warm_start_lost() -> None:
    """After the direct stage, and only if nothing was traded at all."""
    noise = market() - market().mean()
    lost, earned = judged(noise - 0.0001), judged(noise + 0.0001)
    result, kept = chosen([lost, STAYS_OUT], preferred=True)
    assert (result.kept, kept) == ("best", 1)
    assert "stays out" in result.reason
    assert chosen([earned, STAYS_OUT], preferred=True)[1] == 0
    assert chosen([lost, STAYS_OUT])[1] == 0
    hardly = judged(np.where(np.arange(BARS) == 7, -0.0001, 0.0), active=False)
    assert chosen([lost, hardly], preferred=True)[1] == 0


def test_who_trades_has_to_be_better_than_who_stays_out() -> None:
    """The best of several by luck earns something; the direct stage may be preferred to it."""
    noise = market() - market().mean()
    lucky, good = judged(noise + 0.0002), judged(0.1 * noise + 0.001)
    assert chosen([STAYS_OUT, lucky])[1] == 0
    assert chosen([STAYS_OUT, good])[1] == 1
    assert chosen([STAYS_OUT, lucky], preferred=True)[1] == 1


@pytest.mark.parametrize("scored", [True, False])
def test_who_is_not_allowed_is_never_kept(scored: bool) -> None:
    """Not even where the warm start is not allowed either, or nobody validates."""
    agent: Any = Numbered()

    def result(allowed: list[bool]) -> tuple[str, int]:
        judge: Any = (lambda number: judged(market() + 0.001 * number)) if scored else None
        selection = Selection(judge, None, preferred=True, allowed=lambda: allowed[agent.number])
        for agent.number in range(len(allowed)):
            selection.consider(agent.number, agent)
        return selection.finish(len(allowed) - 1, 10, agent).kept, agent.number

    assert result([False, False]) == ("warm_start", 0)
    assert result([True, False]) == ("warm_start", 0)
    assert result([False, False, True]) == ("best" if scored else "last", 2)
    assert result([False, True, False]) == (("best", 1) if scored else ("warm_start", 0))


def test_a_score_alone_is_taken_at_its_word() -> None:
    rows = [{"score": 1.0}, {"score": math.nan}, {"score": 1.5}, {"score": 1.5}]
    result, kept = chosen(rows)
    assert (kept, result.kept_score, result.difference) == (2, 1.5, None)
    assert chosen([{"score": math.nan}, {"score": -1.0}, {"score": -0.5}])[1] == 2
    assert chosen([{"score": 1.0}, {"score": 1.0}], preferred=True)[1] == 0


def test_the_interval_holds_what_it_promises() -> None:
    """95 % of the intervals of independent noise hold 0, and of autocorrelated noise nearly."""
    rng = np.random.default_rng(0)
    held = {0.0: 0, 0.5: 0}
    for _ in range(400):
        shocks = rng.standard_normal(1_000)
        for memory in held:
            series = np.zeros(1_000)
            for t in range(1, 1_000):
                series[t] = memory * series[t - 1] + shocks[t]
            _, low, high = paired_interval(series)
            held[memory] += low < 0.0 < high
    assert stats.binomtest(held[0.0], 400, 0.95).pvalue > 0.01
    assert held[0.5] / 400 > 0.9


def around(mean: float, seed: int) -> Any:
    """Growth of a policy that differs from the warm start by noise, too: realised ``mean``."""
    noise = 0.002 * np.random.default_rng(seed).standard_normal(BARS)
    return market() + noise - noise.mean() + mean


def test_among_those_that_are_better_the_foretold_one_is_kept() -> None:
    """Realised growth has the lucky one above; what was foretold has the good one, and noise does
    not tell them apart. Without a forecast it is luck that chooses."""
    lucky, good = around(0.0012, 1), around(0.0010, 2)
    flat = np.zeros(BARS)
    told = [judged(market(), foretold=flat), judged(lucky, foretold=flat + 0.0004),
            judged(good, foretold=flat + 0.0009)]  # fmt: skip
    result, kept = chosen(told)
    assert (result.kept, kept) == ("best", 2)
    assert "foretold" in result.reason
    assert result.difference == pytest.approx(250 * 0.0010)
    assert chosen([judged(market()), judged(lucky), judged(good)])[1] == 1


def test_luck_of_many_does_not_contradict_a_forecast() -> None:
    """Thirty policies earn the same. Beside the luckiest a poor one looks worse by more than the
    interval of one pair, and not by more than that of the best of thirty."""
    growths = [around(0.001, seed) for seed in range(30)]
    rng = np.random.default_rng(5)
    growths = [each + 0.0001 * rng.standard_normal() for each in growths]
    means = np.array([each.mean() for each in growths])
    poor = int(means.argsort()[2])
    lows = [paired_interval(each - market())[1] for each in growths]
    lucky = int(np.argmax(lows))
    assert paired_interval(growths[poor] - growths[lucky])[2] < 0.0
    flat = np.zeros(BARS)
    told = [judged(each, foretold=flat + 0.0001 * (i == poor)) for i, each in enumerate(growths)]
    assert chosen([judged(market(), foretold=flat), *told])[1] == 1 + poor


def test_a_forecast_makes_nobody_a_candidate_and_gives_way_to_what_happened() -> None:
    flat, promised = np.zeros(BARS), np.full(BARS, 0.01)
    warm = judged(market(), foretold=flat)
    worse = judged(around(0.0001, 1), foretold=promised)  # within noise of the warm start
    assert chosen([warm, worse])[1] == 0
    better = judged(around(0.0010, 2), foretold=flat)
    assert chosen([warm, worse, better])[1] == 2
    idle = judged(around(0.0010, 3), active=False, foretold=promised)
    assert chosen([warm, better, idle])[1] == 1
    # both are better than the warm start, and realised growth tells them apart
    small = judged(market() + 0.0001, foretold=promised)
    assert chosen([warm, small, better])[1] == 2


def test_a_selection_goes_on_from_its_state() -> None:
    flat = np.zeros(BARS)
    policies = [
        judged(market(), foretold=flat),
        judged(market() + 0.0001, foretold=flat + 0.0001),
        judged(market() + 0.0002, foretold=flat + 0.0002),
    ]
    agent: Any = Numbered()

    def made() -> Selection:
        judge: Any = policies.__getitem__
        return Selection(judge, None)

    first = made()
    for number in (0, 1):
        agent.number = number
        first.consider(number, agent)
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = made()
    second.load_state_dict(torch.load(buffer, weights_only=True))
    for selection in (first, second):
        agent.number = 2
        selection.consider(2, agent)
    assert first.finish(2, 5, agent) == second.finish(2, 5, agent)
    assert agent.number == 2


def test_the_state_of_another_version_is_refused_by_name() -> None:
    judge: Any = [judged(market())].__getitem__
    selection, agent = Selection(judge, None), cast("Any", Numbered())
    selection.consider(0, agent)
    state = selection.state_dict()
    older = {name: each for name, each in state.items() if name != "foretold"} | {"best_step": 0}
    with pytest.raises(DataError, match=r"selection holds best, best_step, growth") as found:
        Selection(judge, None).load_state_dict(older)
    assert "anew" in str(found.value)


def test_the_trend_is_by_the_interval_beside_the_best_so_far() -> None:
    warm = market()
    noise = 0.01 * np.random.default_rng(1).standard_normal(BARS)
    found = [
        judged(warm), judged(warm + 0.0002), judged(warm + 0.0001),
        judged(warm + noise - noise.mean() + 0.0004), judged(warm + 0.0001), judged(warm + 0.0009),
    ]  # fmt: skip
    agent: Any = Numbered()
    judge: Any = found.__getitem__
    selection = Selection(judge, None)
    trends = []
    for number in range(len(found)):
        agent.number = number
        if number == 3:  # it goes on from its state
            state = selection.state_dict()
            selection = Selection(judge, None)
            selection.load_state_dict(state)
        trends.append(selection.consider(number, agent).trend)
    # the fourth is better on average, and within noise; it is the best that others are held to
    assert trends == [0, 1, -1, 0, 0, 0]
