"""A collection made ready: market, simulators, environment spec, parts, identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader import __version__
from offline_trader.config import to_dict
from offline_trader.datasets.plan import CollectConfig, PartPlan, plan_parts
from offline_trader.datasets.rollout import Part, roll
from offline_trader.datasets.scores import expert_scores
from offline_trader.envs import ENV_ID, EnvConfig, TradingEnv, make_market, make_simulator
from offline_trader.experts import Mixture, MixtureActor
from offline_trader.experts.draws import stream_seed
from offline_trader.markets import absolute_source
from offline_trader.simulator import MarketTensor
from offline_trader.types import ObservationLayout

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec

__all__ = ["Collection"]

_STARTS, _ACTIONS, _SCORES = 1, 2, 3
"""Purposes of a collection's seed: streams of their own."""


@dataclass(frozen=True)
class Collection:
    """Everything that a collection needs, built once.

    Attributes:
        config: what to collect.
        market: packed bars and features of the range.
        market_sha256: hash of all bars of every instrument, by symbol.
        episode_steps: steps of a whole episode.
        parts: the parts, in order.
        mixture: the experts with their noise and weights.
    """

    config: CollectConfig
    market: MarketTensor
    market_sha256: dict[str, str]
    episode_steps: int
    parts: list[PartPlan]
    mixture: Mixture

    @classmethod
    def build(cls, config: CollectConfig) -> Collection:
        """Load the market and plan the parts.

        Raises:
            ConfigError, DataError: settings or a market that cannot be used.
        """
        env = config.env
        market = make_market(env)
        longest = int((market.stop - market.start).max()) - 1
        steps = min(env.episode_bars or longest, longest)
        return cls(
            config=config,
            market=market,
            market_sha256={bars.symbol: bars.sha256 for bars in env.load_bars()},
            episode_steps=steps,
            parts=plan_parts(config.transitions, config.lanes, steps),
            mixture=config.mixture,
        )

    @property
    def layout(self) -> ObservationLayout:
        """Of the observations."""
        return self.market.layout

    @property
    def labels(self) -> list[str]:
        """Name of every behaviour."""
        return [one.label for one in self.mixture.behaviours]

    @property
    def total(self) -> int:
        """Transitions of all parts."""
        return sum(part.lanes for part in self.parts) * self.episode_steps

    @property
    def identity(self) -> dict[str, Any]:
        """Settings, hashes of market and rule files, layout, version: equal ones, equal arrays."""
        rules = [one.expert for one in self.mixture.behaviours]
        files = {rule.name: rule.sha256 for rule in rules if rule.sha256}
        return {
            **to_dict(self.config),
            "market_sha256": self.market_sha256,
            "layout_hash": self.layout.hash,
            "version": __version__,
            **({"expert_sha256": files} if files else {}),
        }

    @property
    def stored_env(self) -> EnvConfig:
        """The environment, files by their full path, so that it opens anywhere."""
        env = self.config.env
        return replace(
            env,
            market=tuple(absolute_source(source) for source in env.market),
            signal_files=tuple(str(Path(file).resolve()) for file in env.signal_files),
        )

    def environment(self) -> tuple[EnvSpec, tuple[gymnasium.Space[Any], gymnasium.Space[Any]]]:
        """What Minari stores to rebuild the environment, and its two spaces."""
        import gymnasium

        env = gymnasium.make(ENV_ID, **self.stored_env.to_kwargs())
        assert isinstance(env.unwrapped, TradingEnv)
        assert env.spec is not None
        spaces = (env.observation_space, env.action_space)
        env.close()  # type: ignore[no-untyped-call]
        return env.spec, spaces

    def collect(self, plan: PartPlan, progress: Callable[[int], None] | None = None) -> Part:
        """Roll one part out; it depends on the collection's settings and its own number alone.

        Args:
            plan: which part.
            progress: told the steps done in it.
        """
        seed = stream_seed(self.config.seed, _STARTS, plan.index)
        simulator = make_simulator(self.config.env, plan.lanes, seed)
        actor = MixtureActor(
            self.mixture,
            self.layout,
            self.config.env.simulator,
            plan.lanes,
            seed=stream_seed(self.config.seed, _ACTIONS, plan.index),
            market=self.market,
        )
        return roll(simulator, actor, self.episode_steps, progress)

    def scores(self) -> dict[str, float]:
        """Mean return of every expert on the same episodes of this market."""
        seed = stream_seed(self.config.seed, _SCORES)
        lanes = self.config.score_episodes if self.config.env.random_start else 1
        return expert_scores(
            lambda: make_simulator(self.config.env, lanes, seed),
            self.market,
            self.config.env.simulator,
            self.layout,
            self.episode_steps,
            seed=seed,
        )
