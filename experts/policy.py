"""Experts as policies: raw observations in, simulator actions out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.experts.interface import Columns, Expert
from offline_trader.experts.mixtures import Behaviour, Mixture
from offline_trader.experts.spaces import to_actions
from offline_trader.types import FloatArray, IntArray, ObservationLayout, Observations

if TYPE_CHECKING:
    from offline_trader.simulator import MarketTensor, SimulatorConfig

__all__ = ["ExpertPolicy", "MixtureActor"]


class ExpertPolicy:
    """An expert, with its noise, as a policy over raw observations.

    Args:
        expert: the rule, or a behaviour (rule with noise).
        layout: names and order of the observation's columns.
        config: the simulator's rules; its action mode decides the translation.
        market: the bars, which an expert with row columns needs; others learn from it how many
            bars a year has (of several instruments the median), if their parameters leave it open.
        seed: of the noise. A policy without noise is a pure function of the observation.

    Raises:
        ConfigError: an expert with row columns without a market.
    """

    def __init__(
        self,
        expert: Expert | Behaviour,
        layout: ObservationLayout,
        config: SimulatorConfig,
        *,
        market: MarketTensor | None = None,
        seed: int = 0,
    ) -> None:
        behaviour = expert if isinstance(expert, Behaviour) else Behaviour(expert)
        if market is not None:
            rule = behaviour.expert.on(float(np.median(market.periods_per_year)))
            behaviour = replace(behaviour, expert=rule)
        self.behaviour = behaviour
        self.layout = layout
        self.config = config
        self.seed = seed
        self._n_features = len(layout.features)
        self._table: FloatArray | None = None
        self._steps = 0
        rule = self.behaviour.expert
        if rule.row_table is not None:
            if market is None:
                raise ConfigError(
                    f"expert {rule.name!r} {_reads(rule)}",
                    expected="a market to read it from",
                    hint="pass market=, and rows= when it decides",
                )
            self._table = rule.row_table(market, config, rule.params)

    def decide(self, observations: Observations, rows: IntArray | None = None) -> FloatArray:
        """Noise-free actions [N] in [−1, 1]; row n reads row n only.

        Args:
            observations: [N, F + P] raw.
            rows: [N] market rows of the present bars; experts with row columns need them.

        Raises:
            ConfigError: a wrong width, or an expert with row columns without rows.
        """
        expert = self.behaviour.expert
        if observations.ndim != 2 or observations.shape[1] != self.layout.size:
            raise ConfigError(
                f"observations of shape {observations.shape}",
                expected=f"[N, {self.layout.size}]",
            )
        names: tuple[str, ...] = self.layout.features
        values: NDArray[np.floating] = observations[:, : self._n_features]
        if self._table is not None:
            if rows is None:
                raise ConfigError(
                    f"expert {expert.name!r} {_reads(expert)} and was given no market rows"
                )
            names = names + expert.row_columns
            values = np.concatenate([values, self._table[rows]], axis=1)
        portfolio = Columns(self.layout.portfolio, observations[:, self._n_features :])
        decisions = expert(Columns(names, values), portfolio)
        return to_actions(decisions, portfolio["exposure"], expert.space, self.config)

    def disturb(
        self, actions: FloatArray, previous: FloatArray, lanes: IntArray, steps: IntArray
    ) -> FloatArray:
        """Actions [N] after the behaviour's noise; arguments as :meth:`Noise.apply`."""
        for noise in self.behaviour.disturbances:
            actions = noise.apply(actions, previous, lanes, steps, self.seed)
        return actions

    def __call__(
        self, observations: Observations, /, rows: IntArray | None = None
    ) -> NDArray[np.float32]:
        """Actions [N, 1] float32. Noise counts the calls as steps and never repeats an action."""
        actions = self.decide(observations, rows)
        n = len(actions)
        steps = np.full(n, self._steps, dtype=np.int64)
        self._steps += 1
        actions = self.disturb(actions, np.full(n, np.nan), np.arange(n, dtype=np.int64), steps)
        return actions.astype(np.float32)[:, None]


class MixtureActor:
    """N lanes that act by a mixture; every lane draws its behaviour anew for each episode.

    Args:
        mixture: behaviours and weights.
        layout: of the observations.
        config: the simulator's rules.
        n_lanes: N. Lane n acts the same whatever N is.
        seed: of the draws and the noise.
        market: needed if an expert has row columns.
    """

    def __init__(
        self,
        mixture: Mixture,
        layout: ObservationLayout,
        config: SimulatorConfig,
        n_lanes: int,
        *,
        seed: int,
        market: MarketTensor | None = None,
    ) -> None:
        self.mixture = mixture
        self.seed = seed
        self._policies = [
            ExpertPolicy(one, layout, config, market=market, seed=seed)
            for one in mixture.behaviours
        ]
        self._lanes = np.arange(n_lanes, dtype=np.int64)
        self._steps = np.zeros(n_lanes, dtype=np.int64)
        self._episodes = np.zeros(n_lanes, dtype=np.int64)
        self._previous = np.full(n_lanes, np.nan)
        self.behaviour = self._drawn()

    def _drawn(self) -> IntArray:
        drawn = self.mixture.draw(self.seed, self._lanes, self._episodes)
        self._groups = [np.flatnonzero(drawn == k) for k in range(len(self._policies))]
        return drawn

    def act(
        self, observations: Observations, rows: IntArray | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Executed actions [N] and the experts' own, noise-free actions [N].

        Args:
            observations: [N, F + P] raw.
            rows: [N] market rows of the present bars, for experts with row columns.
        """
        executed = np.empty(len(self._lanes))
        clean = np.empty(len(self._lanes))
        for policy, group in zip(self._policies, self._groups, strict=True):
            if group.size == 0:
                continue
            everyone = group.size == len(self._lanes)
            members = slice(None) if everyone else group
            own = policy.decide(observations[members], None if rows is None else rows[members])
            clean[members] = own
            executed[members] = policy.disturb(
                own, self._previous[members], self._lanes[members], self._steps[members]
            )
        acted = executed.astype(np.float32)
        self._previous = acted.astype(np.float64)
        self._steps += 1
        return acted, clean.astype(np.float32)

    def own_actions(
        self, observations: Observations, rows: IntArray | None = None
    ) -> NDArray[np.float32]:
        """The experts' noise-free actions [N], as those of :meth:`act`; nothing is counted."""
        clean = np.empty(len(self._lanes))
        for policy, group in zip(self._policies, self._groups, strict=True):
            if group.size:
                clean[group] = policy.decide(
                    observations[group], None if rows is None else rows[group]
                )
        return clean.astype(np.float32)

    @property
    def episodes(self) -> IntArray:
        """[N] episodes that each lane began after its first; with the seed they say who acts."""
        return self._episodes.copy()

    @episodes.setter
    def episodes(self, begun: IntArray) -> None:
        self._episodes[:] = begun
        self.behaviour = self._drawn()

    def begin(self, ended: NDArray[np.bool_]) -> None:
        """Tell which lanes [N] start a new episode: they draw a behaviour and forget the last."""
        if ended.any():
            self._episodes += ended
            self._previous[ended] = np.nan
            self.behaviour = self._drawn()


def _reads(expert: Expert) -> str:
    return "reads the future" if expert.privileged else "looks bars up"
