"""Models of d3rlpy, by its public calls."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

from offline_trader.errors import ConfigError
from offline_trader.policies.foreign import ForeignPolicy, Graph
from offline_trader.policies.torch_modules import load_script, script_graph
from offline_trader.types import Observations

__all__ = ["from_d3rlpy"]


def from_d3rlpy(model: Any, name: str = "", made: str = "") -> ForeignPolicy:
    """The model's best actions; its own scalers are applied by ``predict``.

    Raises:
        ConfigError: a model that was never built, or with discrete or several actions.
    """
    called = name or type(model).__name__
    shape, actions = model.observation_shape, model.action_size
    if shape is None or actions is None:
        raise ConfigError(
            f"{called} is not built",
            expected="a trained model",
            hint="fit it, load it, or call build_with_dataset or build_with_env",
        )
    if len(shape) != 1 or actions != 1 or model.get_action_type().name != "CONTINUOUS":
        raise ConfigError(
            f"{called} maps observations of shape {tuple(shape)} to {actions} "
            f"{model.get_action_type().name.lower()} actions",
            expected="vectors to one continuous action",
        )

    def decide(observations: Observations) -> Any:
        return model.predict(observations)

    return ForeignPolicy(
        called, "d3rlpy", decide, int(shape[0]), lambda: _graph(model, shape[0]), made
    )


def _graph(model: Any, width: int) -> Graph:
    """What d3rlpy itself writes for serving, scalers inside, read back at once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing asks what it cannot trace
            model.save_policy(str(file))
        return script_graph(load_script(file), width)
