"""PPO of stable-baselines3 learns in the simulator; what it learned is exported and judged here.

    python examples/train_with_stable_baselines3.py --steps 50000

The model's observation scaler (VecNormalize) goes into the ONNX file. Market, dates and trading
rules are those of its environment, so neither call has to name them again.
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import offline_trader as ot
from offline_trader.errors import GateFailed


def make() -> gymnasium.Env[Any, Any]:
    """The training environment: S&P 500 until 2012, target weights, episodes of two years."""
    return gymnasium.make(
        "offline_trader/Trading-v0",
        market="sp500",
        end="2012-12-31",
        episode_bars=500,
        simulator={"action_mode": "target_long"},
    )


def main(arguments: list[str] | None = None) -> ot.Report:
    """Train, export, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    env = VecNormalize(DummyVecEnv([make] * 4), gamma=0.99)
    model = PPO("MlpPolicy", env, n_steps=256, seed=options.seed, device="cpu")
    model.learn(options.steps)
    env.training = False
    try:
        policy: Any = ot.export_policy(model, "runs/ppo/export/policy.onnx", seed=options.seed)
    except GateFailed as refusal:  # the same policy all the time is nothing to deploy
        print(refusal)
        policy = model
    report = ot.evaluate(
        policy, "sp500", start="2015-01-01", output="runs/ppo/evaluation", overwrite=True
    )
    print(report)
    return report


if __name__ == "__main__":
    main()
