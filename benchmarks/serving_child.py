"""The server that `benchmarks.serving_faults` breaks, in a process forked from a loaded one."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

from offline_trader.export import OnnxPolicy
from offline_trader.markets import load_market
from offline_trader.serving import AuditLog, Commits, Desk, RiskLimits, open_store
from offline_trader.serving.http_server import make_app, run_app
from offline_trader.serving.server_settings import ServerLimits

__all__ = ["made_folder", "serve"]


def made_folder(folder: Path) -> list[dict[str, float]]:
    """A model in ``folder``; bars of its market as requests have them, without times."""
    from benchmarks.session import model_file
    from offline_trader.features import compute_features
    from offline_trader.simulator import SimulatorConfig

    bars = load_market("synthetic:ou?bars=3000&seed=7")
    layout = compute_features(bars).schema.layout
    model_file(folder, layout, SimulatorConfig(action_mode="target_long"), bars)
    names = ("open", "high", "low", "close", "volume")
    return [{name: float(getattr(bar, name)) for name in names} for bar in bars]


def serve(
    place: str, instruments: int, file_bytes: int, max_age_s: float, offset: Any, told: Any
) -> None:
    """Serve until killed; sends the port.

    Args:
        place: folder with the model and the store.
        file_bytes: largest file that may be written; 0: any.
        max_age_s: of a price.
        offset: what the clock is off by, seconds; shared.
        told: a pipe.
    """
    folder = Path(place)
    if file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    policy = OnnxPolicy(folder / "policy.onnx")
    limits = RiskLimits(
        max_price_age_s=max_age_s, max_orders_per_day=1e9, max_drawdown=1.0, max_price_move=10.0
    )
    commits = Commits(open_store(folder / "audit.db"))
    desks = {
        name: Desk(
            policy, AuditLog(commits, name), limits, clock=lambda: time.time() + offset.value
        )
        for name in (f"I{i}" for i in range(instruments))
    }
    app = make_app(desks, limits=ServerLimits(requests_per_second=1e9))
    run_app(app, "127.0.0.1", 0, listening=lambda said: told.send(said.rpartition(":")[2]))
