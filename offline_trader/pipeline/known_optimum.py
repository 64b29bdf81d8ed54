"""Scores where the best policy is known: of named policies, trained methods, the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from offline_trader.config import to_dict
from offline_trader.errors import ConfigError
from offline_trader.features import observation_layout
from offline_trader.pipeline.foreign_strategies import made_by
from offline_trader.pipeline.known_optimum_training import (
    KnownOptimumConfig,
    market_of,
    train,
    train_default,
    train_on_bars,
    train_on_log,
    train_own,
)
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.strategies import find_strategy
from offline_trader.policies import ForeignPolicy, adapt
from offline_trader.user_code import guarded

if TYPE_CHECKING:
    from offline_trader.evaluation.backtest import Strategy
    from offline_trader.evaluation.known_optimum import KnownMarket, KnownPolicy, Score
    from offline_trader.evaluation.known_optimum.fqe import RankCheck
    from offline_trader.evaluation.known_optimum.results import KnownResult

__all__ = ["ON_BARS", "score_method", "score_named"]

ON_BARS = "M3-bars"


def score_named(
    name: str,
    policy: Any,
    config: KnownOptimumConfig,
    progress: Progress = Silent(),
    *,
    unverified: bool = False,
    fqe: bool = False,
) -> tuple[KnownResult, RankCheck | None]:
    """Score of a policy that is there, and with ``fqe`` its estimate from the data alone.

    Args:
        name: a known market or dataset, or ``M3-bars``.
        policy: ``optimal``, ``behaviour`` or ``module:function`` (a policy, or what returns a
            model); on ``M3-bars`` a model, a run or an expert. Or a function or model itself, as
            :func:`offline_trader.policies.adapt` takes them.
        config: size of the scoring run, and its seed.
        unverified: see :func:`offline_trader.pipeline.find_strategy`.

    Raises:
        ConfigError, DataError: no such market or policy.
    """
    called = policy if isinstance(policy, str) else adapt(policy).name
    if name == ON_BARS:
        found = _score_on_bars(policy, config, progress, unverified=unverified)
        return _result(name, called, [found], config, trained=False), None
    market = market_of(name)
    made = _named(policy, market)
    result = _result(
        name, called, [_score(market, made, config, config.seed)], config, trained=False
    )
    return result, _off_policy(name, called, made, config.seed, progress) if fqe else None


def score_method(
    name: str,
    method: str | None,
    config: KnownOptimumConfig,
    progress: Progress = Silent(),
    *,
    seeds: int = 1,
    realised: bool = False,
    fqe: bool = False,
) -> tuple[KnownResult, RankCheck | None]:
    """Scores of what a method learns, one a seed; with ``fqe`` the last policy's estimate, too.

    Args:
        name: a known market or dataset; ``M3-bars`` for ``direct``, ``evolution`` and ``default``.
        method: ``direct``, ``evolution``, ``default`` (the stages of ``config``),
            ``module:function`` of the user's own, or None: ``config.learner``.
        config: the method, the scoring run and the first seed.
        seeds: trainings.
        realised: learn from rewards as they were realised instead of expected.

    Raises:
        ConfigError: no such market or method, or one that cannot train there.
    """
    trainer, subject = _trainer(method, config)
    market, scores = market_of(name), []
    made: KnownPolicy
    with progress.task(f"training {subject}", seeds) as advance:
        for k in range(seeds):
            one = replace(config, seed=config.seed + k)
            if name == ON_BARS:
                stages = one.stages if method == "default" else (str(method),)
                made = train_on_bars(one, stages)
                scores.append(_bars_score(made, one, ("builtin", *one.features)))
            else:
                made = trainer(name, one, realised)
                scores.append(_score(market, made, one, one.seed))
            advance(k + 1)
    result = _result(name, subject, scores, config, trained=True, realised=realised)
    return result, _off_policy(name, subject, made, config.seed, progress) if fqe else None


def _trainer(
    method: str | None, config: KnownOptimumConfig
) -> tuple[Callable[[str, KnownOptimumConfig, bool], KnownPolicy], str]:
    """What trains (market or dataset, settings, realised), and its name."""
    if method is not None and ":" in method:
        own = method
        return lambda name, one, realised: train_own(own, name, one, realised=realised), own
    if method in ("direct", "evolution"):
        stage = method
        return lambda name, one, realised: train_on_log(stage, name, one, realised=realised), method
    if method == "default":
        return lambda name, one, realised: train_default(name, one, realised=realised), method
    return (
        lambda name, one, realised: train(name, one, realised=realised),
        config.learner.algorithm,
    )


def _result(
    name: str,
    subject: str,
    scores: list[Score],
    config: KnownOptimumConfig,
    *,
    trained: bool,
    realised: bool = False,
) -> KnownResult:
    from offline_trader.evaluation.known_optimum.results import KnownResult

    return KnownResult(
        name=name,
        subject=subject,
        trained=trained,
        base=market_of(name).base_name,
        seeds=tuple(config.seed + k for k in range(len(scores))),
        scores=tuple(scores),
        config={**to_dict(config), "realised": realised},
    )


def _off_policy(
    name: str, subject: str, policy: KnownPolicy, seed: int, progress: Progress
) -> RankCheck:
    """Fitted Q evaluation of the (last) policy among the references."""
    from offline_trader.evaluation.known_optimum.off_policy import off_policy_check

    with progress.task("fitted Q evaluation") as advance:
        checked = off_policy_check(name, {subject: policy}, seed=seed)
        advance(1, 1)
    return checked


def _score_on_bars(
    policy: Any, plan: KnownOptimumConfig, progress: Progress, *, unverified: bool = False
) -> Score:
    """Score of ``policy`` on M3 as bars, through features and simulator.

    Raises:
        ConfigError: a policy of the market's own observations, or one that cannot be opened.
    """
    from offline_trader.evaluation.known_optimum import ou_bars

    strategy: Any
    features: Sequence[str] = ("builtin",)
    if policy in ("optimal", "behaviour"):
        raise ConfigError(
            f"--policy {policy} on {ON_BARS}, whose observations are those of the whole line",
            expected="an ONNX file, a run directory, expert:NAME or module:function",
        )
    if not isinstance(policy, str):
        strategy = adapt(policy)
    else:
        found = find_strategy(policy, unverified=unverified)
        strategy = found.open()
        features = found.env.get("features", features)
        wanted = ou_bars.OU_RULES.action_mode
        mode = found.env.get("simulator", {}).get("action_mode", wanted)
        if mode != wanted:
            progress.note(
                f"{policy} was trained in mode {mode}; here its actions are target weights "
                f"({wanted})"
            )
    if isinstance(strategy, ForeignPolicy):
        strategy.require_layout(observation_layout(features))
    return _bars_score(strategy, plan, features)


def _bars_score(
    strategy: Strategy, plan: KnownOptimumConfig, features: Sequence[str] = ("builtin",)
) -> Score:
    """Score on paths that no training on ``synthetic:ou`` meets, others for each seed."""
    from offline_trader.evaluation.known_optimum import ou_bars
    from offline_trader.markets.synthetic import OuMarket

    law = OuMarket(bars=plan.bars, seed=1_000_003 + 1_000 * plan.seed)
    return ou_bars.score_on_bars(strategy, law, n_paths=plan.paths, features=features)


def _named(policy: Any, market: KnownMarket) -> KnownPolicy:
    """The optimal or the behaviour policy, what ``module:function`` is or returns, or a model.

    Raises:
        ConfigError: no such function, or a model that is no policy.
    """
    from offline_trader.evaluation.known_optimum import behaviour_policy, optimal_policy

    if policy == "optimal":
        return optimal_policy(market)
    if policy == "behaviour":
        return behaviour_policy(market)
    made = made_by(policy) if isinstance(policy, str) else policy
    if isinstance(policy, str) and inspect.isfunction(made):
        return guarded(policy, made)
    return adapt(made, name=policy if isinstance(policy, str) else "")


def _score(market: KnownMarket, policy: KnownPolicy, plan: KnownOptimumConfig, seed: int) -> Score:
    """Score of ``policy`` over the plan's lanes and steps."""
    from offline_trader.evaluation.known_optimum import score_policy

    return score_policy(
        market, policy, n_lanes=plan.score_lanes, n_steps=plan.score_steps, seed=seed
    )
