"""Configuration: frozen dataclasses, filled from defaults, then a YAML file, then ``a.b=c``."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.config.coercion import CommandText, from_dict
    from offline_trader.config.foreign_code import names_code
    from offline_trader.config.loading import (
        config_hash,
        flat,
        load_config,
        portable,
        read_yaml,
        require_seed,
        to_dict,
        to_yaml,
        with_settings,
    )

__all__ = [
    "CommandText",
    "config_hash",
    "flat",
    "from_dict",
    "load_config",
    "names_code",
    "portable",
    "read_yaml",
    "require_seed",
    "to_dict",
    "to_yaml",
    "with_settings",
]

__getattr__ = lazy_names(__name__)
