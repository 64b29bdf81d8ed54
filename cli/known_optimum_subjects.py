"""The policies that ``known-optimum`` scores: named, trained, or the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.cli.console import Terminal
from offline_trader.cli.known_optimum_request import ON_BARS, KnownOptimumConfig
from offline_trader.errors import ConfigError
from offline_trader.experts.own import find_function, guarded

if TYPE_CHECKING:
    from offline_trader.evaluation.known_optimum import (
        KnownMarket,
        KnownOptimumLanes,
        KnownPolicy,
        Score,
    )
    from offline_trader.evaluation.known_optimum.fqe import RankCheck
    from offline_trader.learning.data import Transitions

__all__ = [
    "market_of",
    "method_of",
    "named",
    "off_policy",
    "score",
    "score_on_bars",
    "train",
    "train_directly",
    "train_own",
]


def off_policy(
    name: str, subject: str, policy: KnownPolicy, seed: int, terminal: Terminal
) -> RankCheck:
    """Fitted Q evaluation of the (last) policy among the references."""
    from offline_trader.evaluation.known_optimum.off_policy import off_policy_check

    with terminal.progress("fitted Q evaluation") as advance:
        checked = off_policy_check(name, {subject: policy}, seed=seed)
        advance(1, 1)
    return checked


def method_of(run: Path) -> dict[str, Any]:
    """The learner's settings of the training run at ``run``, as the base of ours.

    Raises:
        DataError: no run there.
        ConfigError: a run that trained nothing.
    """
    from offline_trader.runs import Run

    settings = Run.open(run).config()
    if "learner" not in settings:
        raise ConfigError(f"{run} trained no learner", expected="a run of pretrain or finetune")
    return {"learner": settings["learner"]}


def market_of(name: str) -> KnownMarket:
    """The market ``name``, or that of the dataset or bars ``name``."""
    from offline_trader.evaluation.known_optimum import get_market

    return get_market(name.partition("-")[0])


def _experience(
    name: str, config: KnownOptimumConfig, realised: bool
) -> Transitions | KnownOptimumLanes:
    """What a method learns ``name`` from: a dataset's transitions, or a market to act in."""
    from offline_trader.evaluation.known_optimum import (
        OFFLINE_DATASETS,
        KnownOptimumLanes,
        make_dataset,
    )

    if name in OFFLINE_DATASETS:
        return make_dataset(name, seed=config.seed, realised=realised).transitions()
    return KnownOptimumLanes(market_of(name), config.lanes, seed=config.seed, realised=realised)


def train(name: str, config: KnownOptimumConfig, *, realised: bool = False) -> KnownPolicy:
    """The policy that ``config.learner`` learns on dataset or market ``name``.

    Raises:
        ConfigError: online training of another algorithm than SAC.
    """
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.data import Transitions
    from offline_trader.learning.stages import finetune, train_offline

    given = _experience(name, config, realised)
    size = len(market_of(name).observation_names)
    learner = make_learner(config.learner, size, seed=config.seed)
    if isinstance(given, Transitions):
        train_offline(learner, given, config.offline, seed=config.seed)
    else:
        finetune(learner, given, None, config.online, seed=config.seed)
    return learner.act


def train_directly(name: str, config: KnownOptimumConfig, *, realised: bool = False) -> KnownPolicy:
    """The policy that the direct stage makes of a dataset, or of a log of market ``name``.

    Raises:
        ConfigError: a market that the direct stage cannot train on.
    """
    from offline_trader.evaluation.known_optimum.direct_market import logged_market
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.stages.direct import train_direct

    market = logged_market(name, seed=config.seed, realised=realised)
    size = len(market_of(name).observation_names)
    learner = make_learner(config.learner, size, seed=config.seed)
    train_direct(learner, market, config.direct, seed=config.seed)
    return learner.act


def train_own(
    path: str, name: str, config: KnownOptimumConfig, *, realised: bool = False
) -> KnownPolicy:
    """The policy that the user's function makes of a dataset's transitions or a market's lanes.

    Raises:
        ConfigError: no such function, it failed, or it returned no policy.
    """
    function = guarded(path, find_function(path))
    policy = function(_experience(name, config, realised), config.seed)
    if not callable(policy):
        raise ConfigError(
            f"{path} returned a {type(policy).__name__}",
            expected="a policy: a function of observations [N, O] that returns actions [N]",
        )
    return guarded(f"the policy of {path}", policy)


def score_on_bars(
    policy: str, plan: KnownOptimumConfig, terminal: Terminal, *, unverified: bool = False
) -> Score:
    """Score of ``policy`` on M3 as bars, through features and simulator.

    Raises:
        ConfigError: a policy of the market's own observations, or one that cannot be opened.
    """
    from offline_trader.cli.subjects import open_candidate
    from offline_trader.evaluation.known_optimum import ou_bars
    from offline_trader.markets.synthetic import OuMarket

    subject: Any
    if policy in ("optimal", "behaviour"):
        raise ConfigError(
            f"--policy {policy} on {ON_BARS}, whose observations are those of the whole line",
            expected="an ONNX file, a run directory, expert:NAME or module:function",
        )
    if ":" in policy and not policy.startswith("expert:"):
        subject = guarded(policy, find_function(policy))
    else:
        candidate = open_candidate(policy, unverified=unverified)
        subject = candidate.open()
        wanted = ou_bars.OU_RULES.action_mode
        mode = candidate.env.get("simulator", {}).get("action_mode", wanted)
        if mode != wanted:
            terminal.note(
                f"{policy} was trained in mode {mode}; here its actions are target weights "
                f"({wanted})"
            )
    law = OuMarket(bars=plan.bars, seed=1_000_003 + 1_000 * plan.seed)
    return ou_bars.score_on_bars(subject, law, n_paths=plan.paths)


def named(policy: str, market: KnownMarket) -> KnownPolicy:
    """The optimal or the behaviour policy, or the user's function ``module:function``.

    Raises:
        ConfigError: no such function.
    """
    from offline_trader.evaluation.known_optimum import behaviour_policy, optimal_policy

    if policy == "optimal":
        return optimal_policy(market)
    if policy == "behaviour":
        return behaviour_policy(market)
    return guarded(policy, find_function(policy))


def score(market: KnownMarket, policy: KnownPolicy, plan: KnownOptimumConfig, seed: int) -> Score:
    """Score of ``policy`` over the plan's lanes and steps."""
    from offline_trader.evaluation.known_optimum import score_policy

    return score_policy(
        market, policy, n_lanes=plan.score_lanes, n_steps=plan.score_steps, seed=seed
    )
