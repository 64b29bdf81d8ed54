"""Training of a controller of options: who trains it, what a run keeps of it, and opening it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from offline_trader.errors import ConfigError
from offline_trader.learning.settings import OnlineConfig
from offline_trader.pipeline.run_facts import OptionFacts
from offline_trader.pipeline.settings import FinetuneConfig
from offline_trader.pipeline.trained_runs import OPTIONS_FILE, TrainedRun

if TYPE_CHECKING:
    from offline_trader.learning.agents import Learner
    from offline_trader.learning.options import OptionsAgent
    from offline_trader.pipeline.phases import Phases

__all__ = ["check_options", "kept_options", "option_loop", "options_agent"]


def check_options(config: FinetuneConfig, parent: TrainedRun) -> None:
    """Nothing if a training of ``config`` can go on from ``parent``.

    Raises:
        ConfigError: the parent's policy chooses among options and the training does not, or among
            others; a goal is asked of a controller; or options that cannot be chosen among.
    """
    before = parent.facts.options
    if config.agent != "options":
        if before is not None:
            raise ConfigError(
                f"the policy of {parent.path} chooses among options, and agent is {config.agent}",
                expected="agent=options",
                hint="go on from the run before it, whose policy does not",
            )
        return
    if config.learner.device != "cpu":
        raise ConfigError(
            f"agent=options on {config.learner.device}", expected="learner.device=cpu"
        )
    if config.goal or parent.facts.goal is not None:
        raise ConfigError("agent=options with a goal", expected="agent=sac, or no goal")
    _require_options(config)
    if before is None:
        return
    for name in ("names", "method", "hidden"):
        ours, theirs = (getattr(each, name) for each in (config.options_agent, before.settings))
        if ours != theirs:
            raise ConfigError(f"options_agent.{name} is {ours}", expected=f"the parent's, {theirs}")


def _require_options(config: FinetuneConfig) -> None:
    """Nothing if a controller can be made of the options on what is observed."""
    import numpy as np
    import torch

    from offline_trader.learning.options import Chooser

    layout = config.env.layout
    scales = (np.zeros(layout.size), np.ones(layout.size))
    given = (config.options_agent.names, layout, config.env.simulator, scales, (1,))
    Chooser(*given, ending=False, actor=torch.nn.Identity())


def option_loop(config: FinetuneConfig) -> OnlineConfig:
    """The settings of the online loop for a controller.

    There are no critics to fit before an actor and no entropy to raise; whole options are stored
    where they are learned from.
    """
    online = config.online
    answer = "return" if online.on_collapse == "explore" else online.on_collapse
    whole = ("whole_options",) if config.options_agent.method == "smdp" else ()
    return replace(online, critic_updates=0, on_collapse=answer, transforms=whole)


def options_agent(
    config: FinetuneConfig, learner: Learner, parent: TrainedRun, seed: int
) -> OptionsAgent:
    """What trains a controller on from the parent's policy, or from its controller.

    Raises:
        ConfigError: an unknown option, or one that reads what is not observed.
        DataError: the parent's controller cannot be read.
    """
    from offline_trader.learning.options import OptionsAgent, load_options_agent

    made = (config.options_agent, config.env.layout, config.env.simulator, seed)
    before = parent.facts.options
    if before is None:
        return OptionsAgent(learner, *made)
    return load_options_agent(parent.path / OPTIONS_FILE, before.sha256, learner, *made)


def kept_options(agent: Any, phases: Phases) -> OptionFacts | None:
    """Write the controller of ``agent`` into the run, if it has one and it is what was kept."""
    from offline_trader.learning.options import OptionsAgent

    if not isinstance(agent, OptionsAgent) or not agent.chooses:
        return None
    return OptionFacts(agent.settings, phases.save_state(OPTIONS_FILE, agent.snapshot()))
