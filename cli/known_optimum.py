"""``offline-trader known-optimum``: score a policy or a learner where the best policy is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.feature_options import NamedFeatures, TrustFeatures, name_all
from offline_trader.cli.known_optimum_request import Request
from offline_trader.cli.options import (
    Config,
    Json,
    Quiet,
    Seed,
    Settings,
    Unverified,
    examples,
    listed,
    resolve,
)
from offline_trader.config import to_dict
from offline_trader.pipeline.known_optimum import ON_BARS, score_method, score_named
from offline_trader.pipeline.known_optimum_training import (
    KnownOptimumConfig,
    market_of,
    method_of,
)

if TYPE_CHECKING:
    from offline_trader.evaluation.known_optimum import KnownMarket
    from offline_trader.evaluation.known_optimum.fqe import RankCheck
    from offline_trader.evaluation.known_optimum.results import KnownResult

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader known-optimum",
    "offline-trader known-optimum M3 --policy optimal",
    "offline-trader known-optimum M1 --policy my_policies.py:act",
    "offline-trader known-optimum M3-bars --policy runs/finetune",
    "offline-trader known-optimum M3-bars --policy runs/own --features my_features.py:signals",
    "offline-trader known-optimum M1-wide --train my_method.py:learn --seeds 3",
    "offline-trader known-optimum M1-narrow --train cql --seeds 5",
    "offline-trader known-optimum M3-narrow --train default --realised --seeds 5",
    "offline-trader known-optimum M3-bars --train direct --seeds 5",
    "offline-trader known-optimum M3 --train evolution --realised",
    "offline-trader known-optimum M3-bars --train direct --features my_features.py:deviation",
    "offline-trader known-optimum M1 --train sac --set online.steps=64000",
    "offline-trader known-optimum M3-narrow --run runs/pretrain --seeds 3",
)


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
            help="Train default (the chain of pretrain), direct (the gradient through the "
            "portfolio), evolution (policies tried side by side), cql, sac, cal_ql, iql, awac or "
            "td3_plus_bc, score it; or module:function of your own (data and seed in, a policy "
            "out).",
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
    realised: Annotated[
        bool,
        typer.Option(
            "--realised",
            help="Learn from rewards as they were realised, noise and all, instead of expected.",
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
    features: NamedFeatures = None,
    trust_features: TrustFeatures = False,
    unverified: Unverified = False,
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
    terminal = Terminal(as_json=as_json, quiet=quiet)
    own = name_all(features, trust=trust_features)
    request = Request(policy, algorithm, seeds, fqe, run, realised, unverified)
    if name is None:
        request.require_nothing()
        _list(terminal)
        return
    request.require_possible(name)
    request.require_used(name, settings or [])
    base = KnownOptimumConfig.of_chain() if algorithm == "default" else None
    if run is not None and not (policy or algorithm):
        base = method_of(run)
    plan = resolve(
        KnownOptimumConfig,
        config,
        settings,
        base,
        learner__algorithm=None if request.method else algorithm,
        features=listed(own) if name == ON_BARS and request.through_bars else None,
        seed=seed,
    )
    if policy is not None:
        result, checked = score_named(name, policy, plan, terminal, unverified=unverified, fqe=fqe)
    else:
        result, checked = score_method(
            name, request.method, plan, terminal, seeds=seeds, realised=realised, fqe=fqe
        )
    kept = None if run is None else result.save(run)
    _print(terminal, market_of(name), result, kept, checked)


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
    payload["scores"] = [to_dict(score) for score in scores]
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
        payload["off_policy"] = to_dict(checked)
    if kept is not None:
        terminal.line(f"kept for reports: {kept}")
        payload["file"] = str(kept)
    terminal.result(payload)
