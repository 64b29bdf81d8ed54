"""``offline-trader audit-log``: verify, export and replay the logs of desks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.feature_options import NamedFeatures
from offline_trader.cli.options import Json, Quiet, Unverified, examples
from offline_trader.errors import ConfigError, DataError
from offline_trader.serving import AuditLog, Commits, open_store
from offline_trader.serving.places import is_database

__all__ = ["EXAMPLES", "commands", "export_log", "replay_log", "report_log", "verify_log"]

EXAMPLES = examples(
    "offline-trader audit-log verify logs/audit.db",
    "offline-trader audit-log export logs/audit.db --instrument SPX > SPX.jsonl",
    "offline-trader audit-log replay logs/audit.db runs/finetune/export/policy.onnx",
    "offline-trader audit-log report logs/audit.db --instrument SPX",
)
_REPORT_HEAD = (
    f"{'day':10} {'decisions':>9} {'orders':>7} {'ordered':>14} {'filled':>10} {'realised':>10} "
    f"{'missed':>10} {'simulated':>10} {'equity':>14} shadow"
)

Place = Annotated[str, typer.Argument(metavar="STORE", help="The logs' file, or postgresql://…")]
Instrument = Annotated[str | None, typer.Option("--instrument", help="The log of this one alone.")]


def verify_log(
    store: Place, instrument: Instrument = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Recompute the chain of hashes: no row was changed, taken out or put in.

    Keep the hash that is printed elsewhere: a later one shows whether rows were cut off at the end.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    found = []
    for log in _logs(store, instrument):
        rows, last = log.verify()
        terminal.line(f"{log.name}: {rows:,} rows, the chain holds; last hash {last}")
        found.append({"instrument": log.desk, "rows": rows, "hash": last})
    terminal.result({"logs": found})


def export_log(store: Place, instrument: Instrument = None) -> None:
    """Print every row as one JSON object a line, after the chain was verified."""
    from offline_trader.codec import plain, to_json

    for log in _logs(store, instrument):
        log.verify()
        for entry in log.entries():
            typer.echo(to_json({"instrument": log.desk, **plain(entry)}))


def replay_log(
    store: Place,
    model: Annotated[list[Path], typer.Argument(help="The ONNX files that decided.")],
    instrument: Instrument = None,
    features: NamedFeatures = None,
    unverified: Unverified = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let the model decide again on every bar of the log: the same decisions, to the bit.

    Where models were swapped, name each of them.
    """
    from offline_trader.export import open_model
    from offline_trader.features import name_features
    from offline_trader.serving import replay

    terminal = Terminal(as_json=as_json, quiet=quiet)
    for each in features or ():
        name_features(each)
    policies = [open_model(each, unverified=unverified) for each in model]
    found = []
    for log in _logs(store, instrument):
        decisions = replay(policies, log)
        terminal.line(f"{log.name}: {decisions:,} decisions, each the same again")
        found.append({"instrument": log.desk, "decisions": decisions})
    terminal.result({"logs": found, "models": [each.file.sha256 for each in policies]})


def report_log(
    store: Place,
    instrument: Instrument = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What each day's fills cost beside the prices decided at and the simulator's fills.

    Costs in basis points of what was ordered (implementation shortfall); the last line of a log
    is of all its days. Where a model is in the shadow, its equity is beside that of what traded.
    """
    from offline_trader.serving import daily_report

    terminal = Terminal(as_json=as_json, quiet=quiet)
    found = []
    for log in _logs(store, instrument):
        days = daily_report(log)
        found.append({"instrument": log.desk, "days": days})
        terminal.line(f"{log.name}\n{_REPORT_HEAD}")
        for day in days:
            costs = (day.filled, day.realised, day.missed, day.simulated)
            shown = [f"{'–' if cost is None else format(cost, '.4g'):>10}" for cost in costs]
            shadow = "" if day.shadow_equity is None else f"{day.shadow_equity:14,.2f}"
            label = "all" if day is days[-1] else day.day or "unknown"
            terminal.line(
                f"{label:10} {day.decisions:9,} {day.orders:7,} {day.ordered:14,.2f} "
                f"{' '.join(shown)} {day.equity:14,.2f}{shadow}"
            )
    terminal.result({"logs": found})


def _logs(place: str, instrument: str | None) -> list[AuditLog]:
    """The logs in a store that is there already.

    Raises:
        DataError: no such file, or no log in it.
        ConfigError: no log of that name.
    """
    if not is_database(place) and not Path(place).is_file():
        raise DataError(
            f"no file {place}", expected="the store of `offline-trader serve`, or a desk's log"
        )
    store = open_store(place, reading=True)
    names = store.desks()
    if not names:
        raise DataError(f"{store.place} has no rows", expected="the log of a desk")
    if instrument is not None:
        if instrument not in names:
            raise ConfigError(
                f"no log of {instrument!r} in {store.place}", expected=f"one of {', '.join(names)}"
            )
        names = [instrument]
    commits = Commits(store)
    return [AuditLog(commits, name) for name in names]


commands = {
    "verify": verify_log,
    "export": export_log,
    "replay": replay_log,
    "report": report_log,
}
