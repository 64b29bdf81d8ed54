"""SAC online from scratch on a market whose best policy is known: ours, stable-baselines3, SBX.

Both act in the same N lanes (one batched act, one step of all lanes, then N updates: one for each
environment step), with the same networks, batch, rates, warm-up and buffer. Every ``every`` steps a
judge sees the policy; the training ends when the judge says so, or after ``most`` updates. Nothing
of the learning stack is imported before a contestant starts, so a clock that starts before may
count imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["Judge", "ours", "sb3", "sbx"]

Judge = Callable[[int, Callable[[Any], Any]], bool]
"""(updates so far, deterministic policy of observations [N, O]) → whether to stop."""


class _Stopped(Exception):
    """The judge has seen enough."""


def ours(settings: Mapping[str, Any], seed: int, judge: Judge) -> None:
    """The toolkit's online loop on its fast engine."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig
    from offline_trader.learning.stages import finetune

    lanes, warmup = settings["lanes"], settings["warmup"]
    market = get_market(settings["market"])
    config = LearnerConfig(algorithm="sac", **settings["learner"])
    learner = make_learner(config, len(market.observation_names), None, seed)
    online = OnlineConfig(
        steps=settings["most"] + warmup,
        update_ratio=1.0,
        offline_share=0.0,
        buffer_size=settings["buffer"],
        warmup_steps=warmup,
        critic_updates=0,
        final_target_entropy=-1.0,  # steady, as the peer's
        rate_decay=0.0,
        exploring_starts=0.0,
        evaluate_interval=settings["every"],
        log_interval=settings["every"],
    )
    done = 0

    def evaluate(policy: Callable[[Any], Any]) -> dict[str, float]:
        nonlocal done
        if judge(done, policy):
            raise _Stopped
        done += settings["every"]
        return {"score": 0.0}

    try:
        finetune(learner, KnownOptimumLanes(market, lanes, seed=seed), None, online,
                 evaluate=evaluate, seed=seed)  # fmt: skip
    except _Stopped:
        return


def sb3(settings: Mapping[str, Any], seed: int, judge: Judge) -> None:
    """stable-baselines3's SAC, as it stands."""
    import torch
    from stable_baselines3 import SAC

    torch.set_num_threads(1)
    _judged(SAC, settings, seed, judge)


def sbx(settings: Mapping[str, Any], seed: int, judge: Judge) -> None:
    """SBX's SAC, as it stands, in SBX's own environment; all updates of a step are one call."""
    from sbx import SAC

    _judged(SAC, settings, seed, judge)


def _judged(algorithm: Any, settings: Mapping[str, Any], seed: int, judge: Judge) -> None:
    """A training by stable-baselines3's interface."""
    from stable_baselines3.common.callbacks import BaseCallback

    learner, lanes, every = settings["learner"], settings["lanes"], settings["every"]
    model = algorithm(
        "MlpPolicy",
        _vector(settings, seed),
        learning_rate=learner["critic_lr"],
        buffer_size=settings["buffer"],
        learning_starts=settings["warmup"],
        batch_size=learner["batch_size"],
        tau=learner["tau"],
        gamma=learner["gamma"],
        train_freq=1,
        gradient_steps=lanes,
        ent_coef=f"auto_{learner['initial_temperature']}",
        policy_kwargs={"net_arch": list(learner["hidden"])},
        seed=seed,
        device="cpu",
    )

    class Judged(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % every:
                return True
            act = lambda seen: model.predict(seen, deterministic=True)[0]  # noqa: E731
            return not judge(model._n_updates, act)

    model.learn(settings["most"] + settings["warmup"], callback=Judged())


def _vector(settings: Mapping[str, Any], seed: int) -> Any:
    """The same lanes as a stable-baselines3 ``VecEnv``."""
    import gymnasium as gym
    from stable_baselines3.common.vec_env import VecEnv

    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market

    lanes = KnownOptimumLanes(
        get_market(settings["market"]),
        settings["lanes"],
        seed=seed,
        realised=settings.get("realised", False),
    )

    class Vector(VecEnv):
        def reset(self) -> Any:
            return lanes.reset()

        def step_async(self, actions: Any) -> None:
            self._actions = actions

        def step_wait(self) -> Any:
            result = lanes.step(self._actions)
            ended = result.terminated | result.truncated
            infos: list[dict[str, Any]] = [{} for _ in range(lanes.n_lanes)]
            for lane in np.flatnonzero(ended):
                infos[lane] = {
                    "terminal_observation": lanes.final_observations[lane],
                    "TimeLimit.truncated": bool(result.truncated[lane]),
                }
            return result.observations, result.rewards.astype(np.float32), ended, infos

        def close(self) -> None: ...
        def get_attr(self, attr_name: str, indices: Any = None) -> Any:
            return [getattr(self, attr_name, None)] * lanes.n_lanes

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...
        def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> Any: ...
        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Any:
            return [False] * lanes.n_lanes

    size = lanes.observation_size
    return Vector(
        lanes.n_lanes,
        gym.spaces.Box(-np.inf, np.inf, (size,), np.float32),
        gym.spaces.Box(-1.0, 1.0, (1,), np.float32),
    )
