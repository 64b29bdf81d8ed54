"""Which of its makers a policy is from, told by the classes it descends from."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from offline_trader.errors import ConfigError
from offline_trader.policies.foreign import ForeignPolicy, StatefulPolicy
from offline_trader.user_code import guarded

__all__ = ["adapt"]


def adapt(model: object, *, name: str = "", made: str = "") -> ForeignPolicy:
    """``model`` as a policy.

    Args:
        model: a function or callable object (raw observations [N, O] float32 → actions [N] or
            [N, 1] in [−1, 1]; one with a method ``restart(lanes)`` may remember), a
            stable-baselines3 or d3rlpy model, a torch module (TorchScript, too).
        name: for reports; by default the function's or the class's.
        made: hash of its file, where it is from one.

    Raises:
        ConfigError: nothing of these, or a model whose actions or observations are not ours.
    """
    if isinstance(model, ForeignPolicy):
        return model
    roots = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    if roots & {"stable_baselines3", "sb3_contrib"}:
        from offline_trader.policies.stable_baselines import from_stable_baselines

        return from_stable_baselines(model, name, made)
    if "d3rlpy" in roots:
        from offline_trader.policies.d3rlpy_models import from_d3rlpy

        return from_d3rlpy(model, name, made)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from offline_trader.policies.torch_modules import from_torch

        return from_torch(model, name, made)
    if callable(model) and not isinstance(model, type):
        return _from_callable(model, name, made)
    raise ConfigError(
        f"a {type(model).__name__} is no policy",
        expected="a function of observations, a stable-baselines3 or d3rlpy model, a torch module",
    )


def _from_callable(model: Callable[..., Any], name: str, made: str) -> ForeignPolicy:
    called = name or getattr(model, "__name__", type(model).__name__).strip("<>")
    try:
        inspect.signature(model).bind(None)
    except TypeError as error:
        raise ConfigError(
            f"{called} cannot be called with observations alone ({error})",
            expected="a function of observations [N, O]",
        ) from None
    except ValueError:  # a builtin that tells no signature
        pass
    decide = guarded(called, model)
    if callable(forget := getattr(model, "restart", None)):
        return StatefulPolicy(called, "function", decide, made=made, forget=forget)
    return ForeignPolicy(called, "function", decide, made=made)
