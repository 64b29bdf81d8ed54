"""Learners of the offline datasets whose best policy is known: ours, and stock d3rlpy.

Both get the same settings. Ours packs the transitions, draws batches by one gather and updates by
the fast engine where there is one; stock d3rlpy draws from its own replay buffer and calls its own
``update``. Nothing of the learning stack is imported before a contestant is built, so a clock that
starts before may count imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

__all__ = ["Contestant", "Engine", "build"]

Engine = Literal["fast", "stock"]
Contestant = tuple[Callable[[int], None], Callable[[Any], Any]]
"""(does so many updates, deterministic actions for observations [N, O])."""


def build(engine: Engine, settings: Mapping[str, Any], data: Any, seed: int) -> Contestant:
    """A contestant on one thread.

    Args:
        engine: whose loop it is.
        settings: of :class:`~offline_trader.learning.settings.LearnerConfig`; ``algorithm`` may
            be ``bc``, too (ours: imitation's loss on SAC's actor, with ``fit`` of CloneConfig;
            d3rlpy: its BC).
        data: from :func:`offline_trader.evaluation.known_optimum.make_dataset`.
        seed: of networks, batches and draws.
    """
    import torch

    torch.set_num_threads(1)
    if settings["algorithm"] == "bc":
        return (_our_cloning if engine == "fast" else _stock_cloning)(settings, data, seed)
    return (_ours if engine == "fast" else _stock)(settings, data, seed)


def _ours(settings: Mapping[str, Any], data: Any, seed: int) -> Contestant:
    learner = _learner("fast", settings, data, seed)
    from offline_trader.learning.data import Sampler, pack

    rows = pack(data.transitions(), learner.preprocessing)
    sampler = Sampler(rows, batch_size=settings["batch_size"], seed=seed)

    def run(updates: int) -> None:
        with learner.randomness():
            for _ in range(updates):
                learner.engine.update(sampler.sample())

    return run, learner.act


def _stock(settings: Mapping[str, Any], data: Any, seed: int) -> Contestant:
    learner = _learner("stock", settings, data, seed)
    replay = _replay(data, seed)

    def run(updates: int) -> None:
        with learner.randomness():
            for _ in range(updates):
                learner.algo.update(replay.sample_transition_batch(settings["batch_size"]))

    return run, learner.act


def _our_cloning(settings: Mapping[str, Any], data: Any, seed: int) -> Contestant:
    from offline_trader.learning.settings import CloneConfig
    from offline_trader.learning.stages import clone

    own = {name: value for name, value in settings.items() if name != "fit"}
    learner = _learner("fast", {**own, "algorithm": "sac"}, data, seed)

    def run(updates: int) -> None:
        config = CloneConfig(
            updates=updates,
            batch_size=settings["batch_size"],
            learning_rate=settings["actor_lr"],
            fit=settings.get("fit", "likelihood"),
            holdout=0.0,
        )
        clone(learner, data.transitions(), config, seed=seed)

    return run, learner.act


def _stock_cloning(settings: Mapping[str, Any], data: Any, seed: int) -> Contestant:
    import torch

    from offline_trader.networks import import_d3rlpy

    d3rlpy = import_d3rlpy()
    torch.manual_seed(seed)
    units = list(settings["hidden"])
    algo = d3rlpy.algos.BCConfig(
        batch_size=settings["batch_size"],
        learning_rate=settings["actor_lr"],
        encoder_factory=d3rlpy.models.VectorEncoderFactory(hidden_units=units),
    ).create(device="cpu")
    algo.create_impl((data.observations.shape[1],), 1)
    replay = _replay(data, seed)

    def run(updates: int) -> None:
        for _ in range(updates):
            algo.update(replay.sample_transition_batch(settings["batch_size"]))

    return run, algo.predict


def _replay(data: Any, seed: int) -> Any:
    from offline_trader.networks import import_d3rlpy

    d3rlpy = import_d3rlpy()
    np.random.seed(seed)  # noqa: NPY002 - d3rlpy's sampling draws from the global generator
    return d3rlpy.dataset.MDPDataset(
        observations=data.observations,
        actions=data.actions,
        rewards=data.rewards,
        terminals=data.terminals,
        timeouts=data.timeouts,
    )


def _learner(engine: Engine, settings: Mapping[str, Any], data: Any, seed: int) -> Any:
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import LearnerConfig

    config = LearnerConfig(engine=engine, **settings)
    return make_learner(config, data.observations.shape[1], None, seed)
