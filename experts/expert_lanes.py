"""A simulator's lanes with the experts that can be asked what they would do in each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.experts.mixtures import Mixture
from offline_trader.experts.policy import MixtureActor
from offline_trader.types import Observations

if TYPE_CHECKING:
    from offline_trader.simulator import Simulator, StepResult

__all__ = ["ExpertLanes", "require_askable"]


class ExpertLanes:
    """N lanes that somebody acts in, and a mixture that is asked.

    Every lane draws an expert of the mixture for each of its episodes, as in a collection; what
    that expert says is without noise.

    Args:
        simulator: N lanes.
        mixture: who is asked.
        seed: of the draws.

    Raises:
        ConfigError: an expert that cannot be asked (:func:`require_askable`).
    """

    def __init__(self, simulator: Simulator, mixture: Mixture, seed: int) -> None:
        require_askable(*((one.expert.name, one.expert.exploration) for one in mixture.behaviours))
        self.simulator = simulator
        self._actor = MixtureActor(
            mixture,
            simulator.market.layout,
            simulator.config,
            simulator.n_lanes,
            seed=seed,
            market=simulator.market,
        )

    @property
    def final_observations(self) -> Observations:
        """[N, O] what the lanes that ended at the last step saw last."""
        return self.simulator.final_observations

    def reset(self) -> Observations:
        """[N, O] first observations."""
        return self.simulator.reset()

    def step(self, actions: NDArray[np.float32]) -> StepResult:
        """One bar of every lane under actions [N, 1]; where an episode ends another expert may
        answer in the next one."""
        result = self.simulator.step(actions)
        self._actor.begin(result.terminated | result.truncated)
        return result

    def expert_actions(self) -> NDArray[np.float32]:
        """[N, 1] what the experts would do now, in the simulator's actions."""
        simulator = self.simulator
        return self._actor.own_actions(simulator.observations, simulator.bar_index)[:, None]

    def state_dict(self) -> dict[str, Any]:
        """All that the next step and the next answer depend on."""
        return {"simulator": self.simulator.state_dict(), "episodes": self._actor.episodes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.simulator.load_state_dict(state["simulator"])
        self._actor.episodes = state["episodes"]


def require_askable(*rules: tuple[str, float]) -> None:
    """Nothing if every rule, (name, exploration), decides for any state of the portfolio.

    Raises:
        ConfigError: a log, which tells what was done from positions of its own, or an expert that
            draws its actions.
    """
    for name, exploration in rules:
        reason = ""
        if name.startswith("log:"):
            reason = "a log tells what was done from its own positions, and nothing of others"
        elif exploration > 0.0:
            reason = "its actions are drawn"
        if reason:
            raise ConfigError(
                f"{name} cannot be asked what it would do where the learner is: {reason}",
                expected="experts that decide from the observation",
                hint="name them, as in --set dagger.experts=technical,reversion, or leave dagger "
                "out of --stages",
            )
