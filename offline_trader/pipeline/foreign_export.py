"""Exporting a policy from elsewhere: the file, manifest and refusals are those of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offline_trader.config import portable, require_seed, to_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.features import admitted
from offline_trader.pipeline.exporting import Exported, Exporting, publish_model
from offline_trader.pipeline.pretraining import data_hash
from offline_trader.pipeline.run_facts import ModelFacts
from offline_trader.pipeline.strategies import last_day_seen
from offline_trader.pipeline.validation import whole_range

if TYPE_CHECKING:
    from offline_trader.policies import ForeignPolicy

__all__ = ["ForeignExportConfig", "export_foreign", "place_of", "require_market"]


@dataclass(frozen=True)
class ForeignExportConfig:
    """What is said of a policy from elsewhere, which does not say it itself.

    Attributes:
        env: the bars and rules that it was trained with.
        seed: of its training.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)


def require_market(policy: ForeignPolicy, config: ForeignExportConfig, given: object) -> None:
    """Nothing if it is known what ``policy`` was trained on.

    Args:
        policy: it may know its environment.
        config: what is said of it.
        given: the market that the caller named, if one was.

    Raises:
        ConfigError: neither it nor the caller says so.
    """
    if policy.env is None and not given and config.env.market == EnvConfig.market:
        raise ConfigError(
            f"{policy.name} does not say what it was trained on",
            expected="--market (and --end): the file states it, and a collapse is told there",
        )


def place_of(policy: ForeignPolicy) -> Path:
    """``runs/NAME/export/policy.onnx``: the usual place of its model."""
    name = re.sub(r"[^\w.+-]+", "-", policy.name).strip("-.") or "policy"
    return Path("runs") / name / "export" / "policy.onnx"


def export_foreign(
    policy: ForeignPolicy, config: ForeignExportConfig, target: Path, *, force: bool = False
) -> Exported:
    """Export ``policy`` to ``target``, compared with what it answers itself.

    Args:
        policy: one with a graph.
        config: the bars and rules that it was trained with, which the model states, and on which
            a collapse is told.
        target: the ONNX file.
        force: export a collapsed policy, too.

    Raises:
        SchemaMismatch: it reads other observations than the market's.
        ConfigError: it has no graph, or the place belongs to another manifest.
        GateFailed: a collapsed policy without ``force``, or a file that differs from it.
    """
    from offline_trader.export import refuse_taken_place
    from offline_trader.policies import write_graph

    refuse_taken_place(target)
    env = config.env
    layout = env.layout
    policy.require_layout(layout)
    graph, mark = policy.require_graph(), policy.fingerprint(layout.size)
    facts = _description(policy, env, mark, config.seed)
    source = Exporting(
        strategy=policy,
        layout=layout,
        env=whole_range(env),
        trained_on=whole_range(env),
        write=lambda path: write_graph(graph, layout, path, to_dict(facts)),
        reference=policy,
        exact=None,
        facts=facts,
        parents={policy.kind: mark},
    )
    return publish_model(source, target, force=force)


def _description(policy: ForeignPolicy, env: EnvConfig, mark: str, seed: int) -> ModelFacts:
    """What the model says of itself: where it is from, and what its training saw."""
    bars, observed = env.load_bars(), portable(to_dict(env))
    return ModelFacts(
        command=f"adopted from {policy.kind}",
        seed=seed,
        policy_sha256=mark,
        market_sha256=data_hash({each.symbol: each.sha256 for each in bars}),
        market=tuple(observed["market"]),
        tz=env.tz,
        train_range=(env.start, env.end or last_day_seen(env, None)),
        validation_range=(None, None),
        simulator=env.simulator,
        features=env.features,
        signal_files=tuple(observed["signal_files"]),
        bar_end=env.bar_end,
        own_features=admitted(env.features),
    )
