"""Networks: the encoder that actor and critics are built on, as d3rlpy factories."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.networks.encoders import make_encoder_factory, require_windows
    from offline_trader.networks.quiet_import import import_d3rlpy
    from offline_trader.networks.window_encoders import WindowEncoderFactory

__all__ = ["WindowEncoderFactory", "import_d3rlpy", "make_encoder_factory", "require_windows"]

__getattr__ = lazy_names(__name__)
