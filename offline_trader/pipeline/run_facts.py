"""What training runs and models state of themselves: typed when written, checked when read.

A run directory may be somebody else's, or of another version: keys that are not known are let be,
and one that is missing or of another type is refused with the file and its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from offline_trader.codec import Facts, from_json
from offline_trader.config import require_seed, to_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.features import Admission
from offline_trader.goals import GoalTask, Preference
from offline_trader.learning.engines import EngineFacts
from offline_trader.learning.settings import OptionsConfig
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import ObservationLayout

__all__ = [
    "CloneFacts",
    "GoalFacts",
    "ModelFacts",
    "OptionFacts",
    "PassedOn",
    "StageFacts",
    "StageRow",
    "TrainingFacts",
    "TrainingManifest",
    "latest_day",
]


@dataclass(frozen=True)
class CloneFacts(Facts):
    """What cloning states; see :class:`offline_trader.learning.stages.CloneResult`."""

    updates: int
    holdout_mse: float | None = None
    holdout_mean_mse: float | None = None
    holdout_transitions: int = 0
    fit: str = "likelihood"


@dataclass(frozen=True)
class StageFacts(Facts):
    """What another stage states; see :class:`offline_trader.learning.stages.TrainResult`."""

    updates: int
    kept: Literal["best", "warm_start", "last"]
    kept_step: int
    warm_score: float | None
    kept_score: float | None
    last_score: float | None
    engine: EngineFacts | None = None
    reason: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    replay: str = ""


@dataclass(frozen=True)
class StageRow(Facts):
    """What a stage added to the policy of those before it.

    Attributes:
        stage: its name.
        updates: of the training.
        validation_sharpe: of the policy after it; None where nothing was validated, or for a
            policy that is no candidate.
        kept: which policy left it; empty for a stage that chooses none.
        reason: why.
        difference: net log growth a year of its best policy less that of the one it began with,
            over the same validation bars; None where they were not compared.
        interval: its 95 % interval.
        told: what the stage has to say of itself, a sentence or two each.
    """

    stage: str
    updates: int
    validation_sharpe: float | None = None
    kept: str = ""
    reason: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class GoalFacts(Facts):
    """The goal that a policy takes.

    Attributes:
        task: what can be asked for; its ``goal`` is the default.
        chosen: how the default was chosen.
    """

    task: GoalTask
    chosen: str = ""


@dataclass(frozen=True)
class OptionFacts(Facts):
    """The controller of options that a policy is.

    Attributes:
        settings: which options, and how the choice was learned.
        sha256: of the controller's file in the run.
    """

    settings: OptionsConfig
    sha256: str


@dataclass(frozen=True)
class TrainingFacts(Facts):
    """What a finished training states.

    Attributes:
        dataset: id of the dataset that it learned from; empty: none.
        layout: of its observations.
        layout_hash: of the layout.
        env: the environment that it learned in, or that its dataset was collected in.
        validation_env: the one that its policy was chosen in, if there was one.
        experts: the dataset's behaviours.
        privileged: whether one of them reads the future.
        policy_sha256: of the policy's file; empty in runs of older versions.
        transitions: of the dataset.
        own_features: what was found of features of the user's own.
        clone, direct, offline, online: of the stages that it had.
        further: of stages that are none of these, by name.
        history: what every stage added, in order, those of the parents first.
        engine: what computed its updates; None in runs of older versions.
        goal: that its policy takes; None: none.
        options: that its policy chooses among; None: it does not.
        preference: weights of the objectives that it was trained for; None: for the reward alone.
    """

    dataset: str
    layout: ObservationLayout
    layout_hash: str
    env: EnvConfig
    validation_env: EnvConfig | None
    experts: tuple[Mapping[str, Any], ...]
    privileged: bool
    policy_sha256: str = ""
    transitions: int | None = None
    own_features: tuple[Admission, ...] = ()
    clone: CloneFacts | None = None
    direct: StageFacts | None = None
    offline: StageFacts | None = None
    online: StageFacts | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[StageRow, ...] = ()
    engine: EngineFacts | None = None
    goal: GoalFacts | None = None
    options: OptionFacts | None = None
    preference: Preference | None = None

    def __post_init__(self) -> None:
        for each in self.experts:
            rule = each.get("expert")
            if (
                not isinstance(rule, Mapping)
                or not isinstance(rule.get("name"), str)
                or not isinstance(rule.get("params"), Mapping)
            ):
                raise ConfigError("experts: a rule without name and params")

    @property
    def stages(self) -> dict[str, StageFacts]:
        """The stages that chose a policy, in order."""
        found = {"direct": self.direct, "offline": self.offline, "online": self.online}
        for name, tree in self.further.items():
            if isinstance(tree, Mapping) and "kept" in tree:
                found[name] = from_json(StageFacts, tree, f"further.{name}")
        names = [row.stage for row in self.history if row.stage in found] or list(found)
        return {name: stage for name in names if (stage := found[name]) is not None}

    @property
    def chosen(self) -> StageFacts | None:
        """The last stage that chose a policy; None where none did."""
        return next(reversed(self.stages.values()), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; what the training did not have is left out."""
        optional = {
            *("transitions", "clone", "direct", "offline", "online", "further", "engine"),
            *("own_features", "goal", "options", "preference"),
        }
        tree = to_dict(self)
        return {k: v for k, v in tree.items() if v or k not in optional}


@dataclass(frozen=True)
class TrainingManifest(Facts):
    """What the manifest of a training run states of how it was made."""

    command: str
    seed: int
    config_hash: str
    data_hash: str
    parents: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ModelFacts(Facts):
    """What an exported model states of its training. One of another make may state none of it.

    Attributes:
        command, seed, config_hash: of the run.
        policy_sha256: of the run's policy.
        market_sha256: of the bars, as ``offline-trader markets`` shows it.
        market, tz: the sources of bars, files by name alone.
        train_range, validation_range: first and last day.
        simulator: the trading rules.
        features, signal_files, bar_end: what it observes; see
            :class:`offline_trader.envs.EnvConfig`; files by name alone.
        own_features: what was found of features of the user's own. Their code is never imported
            on a file's word.
        experts: texts of the behaviours that it learned from.
        privileged: whether one of them reads the future.
        engine: what computed the last stage's updates; None in models of older versions.
        direct_engine: the same of the direct stage, if the run had one.
        history: what every stage of its training added.
        goal: that it takes, with its default and how that was chosen; None: none.
        options: that it chooses among; None: it does not.
        preference: weights of the objectives that it was trained for; None: for the reward alone.
    """

    command: str = ""
    seed: int = 0
    config_hash: str = ""
    policy_sha256: str = ""
    market_sha256: str = ""
    market: tuple[str, ...] = ()
    tz: str | None = None
    train_range: tuple[str | None, str | None] | None = None
    validation_range: tuple[str | None, str | None] | None = None
    simulator: SimulatorConfig | None = None
    features: tuple[str, ...] = ("builtin",)
    signal_files: tuple[str, ...] = ()
    bar_end: str = ""
    own_features: tuple[Admission, ...] = ()
    experts: tuple[str, ...] = ()
    privileged: bool = False
    engine: EngineFacts | None = None
    direct_engine: EngineFacts | None = None
    history: tuple[StageRow, ...] = ()
    goal: GoalFacts | None = None
    options: OptionFacts | None = None
    preference: Preference | None = None

    def __post_init__(self) -> None:
        require_seed(self.seed)
        latest_day(self.train_range, self.validation_range)

    @property
    def env(self) -> dict[str, Any]:
        """Settings of the environment that it was trained in, as far as it states them."""
        if self.simulator is None:
            return {}
        market = {"market": list(self.market)} if self.market else {}
        observed = {
            "features": list(self.features),
            "signal_files": list(self.signal_files),
            "bar_end": self.bar_end,
        }
        return {**market, **observed, "tz": self.tz, "simulator": to_dict(self.simulator)}


@dataclass(frozen=True)
class PassedOn(Facts):
    """Settings of a training run that its child takes over."""

    learner: Mapping[str, Any]
    validation: Mapping[str, Any]
    seed: int
    dataset: str = ""
    threads: int = 1
    goal: GoalTask = field(default_factory=GoalTask)


def latest_day(*ranges: Sequence[str | None] | None) -> str:
    """The last day, ISO, of the ranges' ends; empty where none has one.

    Raises:
        ConfigError: an end that is no date.
    """
    import numpy as np

    from offline_trader.tables.dates import parse_end

    moments = [parse_end(each[1]) for each in ranges if each and each[1]]
    if not moments:
        return ""
    return str((max(moments) - np.timedelta64(1, "ns")).astype("datetime64[D]"))
