"""``offline-trader known-optimum``: score a policy or a learner where the best policy is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import (
    Config,
    Json,
    Quiet,
    Seed,
    Settings,
    examples,
    resolve,
)
from offline_trader.config import require_seed, to_dict
from offline_trader.errors import ConfigError
from offline_trader.experts.own import find_function, guarded
from offline_trader.learning.settings import LearnerConfig, OfflineConfig, OnlineConfig

if TYPE_CHECKING:
    from offline_trader.evaluation.fqe import RankCheck
    from offline_trader.evaluation.known_optimum import KnownMarket, KnownPolicy, Score
    from offline_trader.evaluation.known_optimum.results import KnownResult

__all__ = ["EXAMPLES", "KnownOptimumConfig", "command", "train"]

EXAMPLES = examples(
    "offline-trader known-optimum",
    "offline-trader known-optimum M3 --policy optimal",
    "offline-trader known-optimum M1 --policy my_policies.py:act",
    "offline-trader known-optimum M3-bars --policy runs/finetune",
    "offline-trader known-optimum M1-wide --train my_method.py:learn --seeds 3",
    "offline-trader known-optimum M1-narrow --train cql --seeds 5",
    "offline-trader known-optimum M1 --train sac --set online.steps=64000",
    "offline-trader known-optimum M3-narrow --run runs/pretrain --seeds 3",
)

ON_BARS = "M3-bars"


@dataclass(frozen=True)
class _Asked:
    """The options that say what is to be scored; refuses those that do not go together."""

    policy: str | None
    algorithm: str | None
    seeds: int
    fqe: bool
    run: Path | None

    def require_nothing(self) -> None:
        """Raises ConfigError where something is to be scored on no market."""
        if self != _Asked(None, None, 1, False, None):
            raise ConfigError(
                "no market or dataset",
                expected="its name first: what is to be scored, and where",
                hint="offline-trader known-optimum alone lists them",
            )

    def require_possible(self, name: str) -> None:
        """Raises ConfigError where ``name`` is unknown or cannot do what was asked."""
        from offline_trader.evaluation.known_optimum import KNOWN_MARKETS, OFFLINE_DATASETS

        known = [*KNOWN_MARKETS, *OFFLINE_DATASETS, ON_BARS]
        if name not in known:
            raise ConfigError(
                f"unknown market or dataset {name!r}", expected="one of " + ", ".join(known)
            )
        if name == ON_BARS and self.policy is None:
            raise ConfigError(
                f"training on {ON_BARS}",
                expected="--policy with a policy that was trained through the line",
                hint="pretrain on a dataset of synthetic:ou, then score its run here",
            )
        neither = self.policy is None and self.algorithm is None
        if (self.policy and self.algorithm) or (neither and self.run is None):
            raise ConfigError(
                "neither --policy nor --train" if neither else "both --policy and --train",
                expected="one of the two: what is to be scored",
                hint="or --run FOLDER of a training run, whose method is to be scored",
            )
        if self.policy and self.seeds > 1:
            raise ConfigError(
                f"--seeds {self.seeds} with --policy, which trains nothing",
                expected="--seeds with --train or --run",
                hint="--seed N scores the policy on another draw of the market",
            )
        if self.fqe and name not in OFFLINE_DATASETS:
            raise ConfigError(
                f"--fqe on {name}", expected="an offline dataset: " + ", ".join(OFFLINE_DATASETS)
            )


@dataclass(frozen=True)
class KnownOptimumConfig:
    """How a learner is trained and a policy is scored.

    Attributes:
        learner: algorithm and networks.
        offline: training on one of the offline datasets.
        online, lanes: training from scratch where no dataset is named.
        score_lanes, score_steps: size of the scoring run.
        bars, paths: size of the scoring run on M3-bars, all paths together.
        seed: the first one.
    """

    learner: LearnerConfig = field(
        default_factory=lambda: LearnerConfig(gamma=0.97, reward_scaling="none")
    )
    offline: OfflineConfig = field(
        default_factory=lambda: OfflineConfig(updates=4_000, critic_updates=0, evaluate_interval=0)
    )
    online: OnlineConfig = field(
        default_factory=lambda: OnlineConfig(
            steps=64_000,
            update_ratio=0.125,
            offline_share=0.0,
            critic_updates=0,
            evaluate_interval=0,
        )
    )
    lanes: int = 8
    score_lanes: int = 256
    score_steps: int = 2_000
    bars: int = 50_000
    paths: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            help="M0 to M4, an offline dataset (M1-wide, M1-narrow, M3-wide, M3-narrow), or "
            "M3-bars: M3 as a market through features and simulator."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            help="optimal, behaviour, or module:function (observations [N, O] in, "
            "actions [N] in [-1, 1] out); on M3-bars also an ONNX file, a run directory or "
            "expert:NAME.",
        ),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="Train cql, sac, cal_ql, iql, awac or td3_plus_bc, score it; or module:function "
            "of your own (data and seed in, a policy out).",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Trainings, each with its own seed.")
    ] = 1,
    fqe: Annotated[
        bool,
        typer.Option(
            "--fqe",
            help="On an offline dataset: estimate the policy from the data alone as well, beside "
            "how well such estimates rank policies whose scores are known.",
        ),
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="FOLDER",
            help="Keep the result in FOLDER, where evaluate finds it. Without --train and "
            "--policy, FOLDER is a training run, and its method is trained with its settings.",
        ),
    ] = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a policy, or train a method and score what it learned: 100 is the optimum.

    0 is the market's named base policy. The score comes from the regret in closed form, not from
    profits, so a short run is precise. Without a name the markets and datasets are listed. With
    --run the report of `evaluate` shows the result.
    """
    from offline_trader.evaluation.known_optimum import get_market
    from offline_trader.evaluation.known_optimum.results import KnownResult

    terminal = Terminal(as_json=as_json, quiet=quiet)
    asked = _Asked(policy, algorithm, seeds, fqe, run)
    if name is None:
        asked.require_nothing()
        _list(terminal)
        return
    asked.require_possible(name)
    base = _method_of(run) if run is not None and not (policy or algorithm) else None
    own = algorithm is not None and ":" in algorithm
    plan = resolve(
        KnownOptimumConfig,
        config,
        settings,
        base,
        learner__algorithm=None if own else algorithm,
        seed=seed,
    )
    if policy is None and not own:
        algorithm = plan.learner.algorithm
    market = get_market(name.partition("-")[0])
    if policy is not None and name == ON_BARS:
        scores = [_score_on_bars(policy, plan, terminal)]
    elif policy is not None:
        made = _named(policy, market)
        scores = [_score(market, made, plan, plan.seed)]
    else:
        scores = []
        with terminal.progress(f"training {algorithm}", seeds) as advance:
            for k in range(seeds):
                one = replace(plan, seed=plan.seed + k)
                made = _train_own(str(algorithm), name, one) if own else train(name, one)
                scores.append(_score(market, made, one, one.seed))
                advance(k + 1)
    result = KnownResult(
        name=name,
        subject=policy or str(algorithm),
        trained=policy is None,
        base=market.base_name,
        seeds=tuple(plan.seed + k for k in range(len(scores))),
        scores=tuple(scores),
        config=to_dict(plan),
    )
    checked = _off_policy(name, result.subject, made, plan.seed, terminal) if fqe else None
    _print(terminal, market, result, None if run is None else result.save(run), checked)


def _off_policy(
    name: str, subject: str, policy: KnownPolicy, seed: int, terminal: Terminal
) -> RankCheck:
    """Fitted Q evaluation of the (last) policy among the references."""
    from offline_trader.evaluation.known_optimum.off_policy import off_policy_check

    with terminal.progress("fitted Q evaluation") as advance:
        checked = off_policy_check(name, {subject: policy}, seed=seed)
        advance(1, 1)
    return checked


def _method_of(run: Path) -> dict[str, Any]:
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


def train(name: str, config: KnownOptimumConfig) -> KnownPolicy:
    """The policy that ``config.learner`` learns on dataset or market ``name``.

    Raises:
        ConfigError: online training of another algorithm than SAC.
    """
    from offline_trader.evaluation.known_optimum import (
        OFFLINE_DATASETS,
        KnownOptimumLanes,
        get_market,
        make_dataset,
    )
    from offline_trader.learning.learner import make_learner
    from offline_trader.learning.offline import train_offline
    from offline_trader.learning.online import finetune

    market = get_market(name.partition("-")[0])
    learner = make_learner(config.learner, len(market.observation_names), seed=config.seed)
    if name in OFFLINE_DATASETS:
        data = make_dataset(name, seed=config.seed).transitions()
        train_offline(learner, data, config.offline, seed=config.seed)
    else:
        lanes = KnownOptimumLanes(market, config.lanes, seed=config.seed)
        finetune(learner, lanes, None, config.online, seed=config.seed)
    return learner.act


def _train_own(path: str, name: str, config: KnownOptimumConfig) -> KnownPolicy:
    """The policy that the user's function makes of a dataset's transitions or a market's lanes.

    Raises:
        ConfigError: no such function, it failed, or it returned no policy.
    """
    from offline_trader.evaluation.known_optimum import (
        OFFLINE_DATASETS,
        KnownOptimumLanes,
        get_market,
        make_dataset,
    )

    function = find_function(path)
    given: object
    if name in OFFLINE_DATASETS:
        given = make_dataset(name, seed=config.seed).transitions()
    else:
        given = KnownOptimumLanes(get_market(name), config.lanes, seed=config.seed)
    policy = guarded(path, function)(given, config.seed)
    if not callable(policy):
        raise ConfigError(
            f"{path} returned a {type(policy).__name__}",
            expected="a policy: a function of observations [N, O] that returns actions [N]",
        )
    return guarded(f"the policy of {path}", policy)


def _score_on_bars(policy: str, plan: KnownOptimumConfig, terminal: Terminal) -> Score:
    from offline_trader.cli.subjects import open_candidate
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, score_on_bars
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
        candidate = open_candidate(policy)
        subject = candidate.subject
        mode = candidate.env.get("simulator", {}).get("action_mode", OU_RULES.action_mode)
        if mode != OU_RULES.action_mode:
            terminal.note(
                f"{policy} was trained in mode {mode}; here its actions are target weights "
                f"({OU_RULES.action_mode})"
            )
    law = OuMarket(bars=plan.bars, seed=1_000_003 + 1_000 * plan.seed)
    return score_on_bars(subject, law, n_paths=plan.paths)


def _named(policy: str, market: KnownMarket) -> KnownPolicy:
    from offline_trader.evaluation.known_optimum import behaviour_policy, optimal_policy

    if policy == "optimal":
        return optimal_policy(market)
    if policy == "behaviour":
        return behaviour_policy(market)
    return guarded(policy, find_function(policy))


def _score(market: KnownMarket, policy: KnownPolicy, plan: KnownOptimumConfig, seed: int) -> Score:
    from offline_trader.evaluation.known_optimum import score_policy

    return score_policy(
        market, policy, n_lanes=plan.score_lanes, n_steps=plan.score_steps, seed=seed
    )


def _list(terminal: Terminal) -> None:
    from offline_trader.evaluation.known_optimum import KNOWN_MARKETS, OFFLINE_DATASETS, get_market

    markets = [get_market(name) for name in KNOWN_MARKETS]
    terminal.table(
        "",
        ["market", "what it is", "observation", "scores 0", "optimum"],
        [
            [m.name, m.title, ", ".join(m.observation_names), m.base_name, m.optimum]
            for m in markets
        ],
    )
    terminal.table(
        "",
        ["dataset", "market", "noise of the behaviour's actions"],
        [
            [key, spec.market, ", ".join(map(str, spec.noise))]
            for key, spec in OFFLINE_DATASETS.items()
        ],
    )
    terminal.result(
        {
            "markets": [{"name": m.name, "title": m.title, "optimum": m.optimum} for m in markets],
            "datasets": list(OFFLINE_DATASETS),
            "bars": ON_BARS,
        }
    )
    terminal.line(
        f"{ON_BARS} is M3 as a market: bars through features and simulator, long-short target "
        "weights at 40 bp, the optimal band scores 100"
    )


def _print(
    terminal: Terminal,
    market: KnownMarket,
    result: KnownResult,
    kept: Path | None,
    checked: RankCheck | None,
) -> None:
    scores = result.scores
    terminal.table(
        market.title,
        ["seed", f"{result.subject} on {result.name}: {scores[0].unit}", "95 % from", "to"],
        [[k, s.value, *s.interval] for k, s in zip(result.seeds, scores, strict=True)],
    )
    payload: dict[str, Any] = {"name": result.name, "subject": result.subject}
    payload["scores"] = [s.to_dict() for s in scores]
    summary = result.summary
    if summary is not None:
        interval = "an interval needs three seeds"
        if summary.interval is not None:
            interval = "95 % interval {:.1f} to {:.1f}".format(*summary.interval)
        terminal.line(f"interquartile mean over {len(scores)} seeds: {summary.iqm:.1f}, {interval}")
        payload["summary"] = to_dict(summary)
    if checked is not None:
        rows = zip(checked.names, checked.estimated, checked.true, strict=True)
        terminal.table(
            "fitted Q evaluation: standardised reward a step, estimated from the data alone",
            ["policy", "estimate", "true score"],
            [list(row) for row in rows],
        )
        rank = checked.rank_correlation
        terminal.line(
            f"rank correlation of estimates and scores: {'–' if rank is None else f'{rank:.2f}'}"
        )
        payload["off_policy"] = checked.to_dict()
    if kept is not None:
        terminal.line(f"kept for reports: {kept}")
        payload["file"] = str(kept)
    terminal.result(payload)
