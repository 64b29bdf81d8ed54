"""Whether a device of the settings is there."""

from __future__ import annotations

import torch

from offline_trader.errors import ConfigError

__all__ = ["require_device"]


def require_device(name: str) -> None:
    """Refuse a device that nothing can be computed on here.

    Args:
        name: of a torch device, as ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        ConfigError: no such device, or none of it in this machine or this build of torch.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r}", expected="cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return
    if device.type != "cuda":
        raise ConfigError(f"device {name!r}", expected="cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if (device.index or 0) >= found:
        raise ConfigError(
            f"device {name!r} cannot be used here: "
            f"torch {torch.__version__} finds {found} CUDA devices",
            hint="use --device cpu; a GPU needs its driver (nvidia-smi) and a CUDA build of torch",
        )
