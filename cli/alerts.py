"""``offline-trader alerts``: the rules that are in force, and whether their channels work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Json, Quiet, examples
from offline_trader.errors import ConfigError, DataError
from offline_trader.runs import atomic_write

__all__ = ["EXAMPLES", "commands", "list_rules", "try_channels", "write_files"]

EXAMPLES = examples(
    "offline-trader alerts rules",
    "offline-trader alerts rules alerts.yaml",
    "offline-trader alerts try alerts.yaml",
    "offline-trader alerts write monitoring",
)


def list_rules(
    file: Annotated[Path | None, typer.Argument(help="The file of alerts.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the alerts in force, those of the file over the default ones, and every signal."""
    from offline_trader.config import to_dict
    from offline_trader.monitoring import SIGNALS, read_alerts

    terminal = Terminal(as_json=as_json, quiet=quiet)
    settings = read_alerts(file)
    rules = [(name, rule) for name, rule in settings.alerts.items() if rule.enabled]
    terminal.table(
        "Alerts",
        ["alert", "signal", "raised", "ends", "for s", "cooldown s", "severity"],
        [
            [
                name,
                rule.signal,
                f"above {rule.above:g}" if rule.above is not None else f"below {rule.below:g}",
                f"{rule.threshold if rule.clear is None else rule.clear:g}",
                f"{rule.for_s:g}",
                f"{rule.cooldown_s:g}",
                rule.severity,
            ]
            for name, rule in rules
        ],
    )
    terminal.table("Signals", ["signal", ""], [[*each] for each in SIGNALS.items()])
    terminal.result({"alerts": {name: to_dict(rule) for name, rule in rules}, "signals": SIGNALS})


def try_channels(
    file: Annotated[Path, typer.Argument(help="The file of alerts.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send a test alert through every channel, once, and say what came of it.

    Exit code 3 if one of them could not be reached.
    """
    from datetime import UTC, datetime

    from offline_trader.monitoring import Message, open_channels, read_alerts

    terminal = Terminal(as_json=as_json, quiet=quiet)
    channels = open_channels(read_alerts(file).channels)
    if not channels:
        raise ConfigError(f"{file} names no channels", expected="channels, with a url or a file")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    message = Message("test", "-", "test", "critical", "This is a test of the channel.", now)
    told = {each.settings.name: each.send(message) for each in channels}
    terminal.table(
        "Channels",
        ["channel", "outcome"],
        [[name, reason or "delivered"] for name, reason in told.items()],
    )
    terminal.result({"channels": told})
    failed = [name for name, reason in told.items() if reason]
    if failed:
        raise DataError(
            f"nothing was delivered by {', '.join(failed)}",
            expected="a place that can be reached",
            hint="look at the channel's URL, and whether this machine may connect to it",
        )


def write_files(
    folder: Annotated[Path, typer.Argument(help="Where to.")] = Path("monitoring"),
    quiet: Quiet = False,
) -> None:
    """Write alerts.yaml, Prometheus' alert rules and a Grafana dashboard, to begin with.

    What is there already stays as it is.
    """
    from importlib.resources import files

    terminal = Terminal(quiet=quiet)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("alerts.yaml", "prometheus.yml", "grafana.json"):
        target = folder / name
        if target.exists():
            terminal.line(f"{target}: is there already")
        else:
            content = (files("offline_trader.monitoring") / name).read_bytes()
            atomic_write(target, content)
            terminal.line(f"{target}: written")


commands = {"rules": list_rules, "try": try_channels, "write": write_files}
