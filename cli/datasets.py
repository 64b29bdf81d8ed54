"""``offline-trader datasets``: list the datasets, show what one holds, take one as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from offline_trader.cli.console import Terminal, number
from offline_trader.cli.options import Json, Quiet, Root, examples

__all__ = ["EXAMPLES", "commands", "inspect_dataset", "list_all", "seal_dataset"]

EXAMPLES = examples(
    "offline-trader datasets list",
    "offline-trader datasets inspect sp500/experts-v0",
    "offline-trader datasets inspect sp500/experts-v0 --json",
    "offline-trader datasets seal own/changed-v0",
)


def list_all(root: Root = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the datasets of this machine: Minari's folder, or --root."""
    from offline_trader.datasets import datasets_root, scan_datasets

    terminal = Terminal(as_json=as_json, quiet=quiet)
    found = scan_datasets(root)
    rows = [_row(name, metadata) for name, metadata in found.datasets.items()]
    if rows:
        terminal.table("", ["dataset", "episodes", "steps", "MB", "market", "experts"], rows)
    elif not found.unreadable:
        terminal.line(f"no datasets in {datasets_root(root)}; offline-trader collect makes one")
    for name, reason in found.unreadable.items():
        terminal.line(f"{name} cannot be read: {reason}")
    terminal.result(
        {
            "root": str(datasets_root(root)),
            "datasets": found.datasets,
            "unreadable": found.unreadable,
        }
    )


def inspect_dataset(
    dataset: Annotated[str, typer.Argument(help="Id, as in sp500/experts-v0.")],
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a dataset holds: market, range, experts, layout, scores, versions."""
    from offline_trader.datasets import dataset_metadata, dataset_path

    terminal = Terminal(as_json=as_json, quiet=quiet)
    metadata = dataset_metadata(dataset, root)
    own = metadata.get("offline_trader") or {}
    terminal.line(
        f"{dataset}: {metadata.get('total_steps', 0):,} steps in "
        f"{metadata.get('total_episodes', 0):,} episodes, {number(metadata.get('dataset_size'))} MB"
    )
    _print_bars(terminal, own)
    _print_experts(terminal, own)
    _print_settings(terminal, own)
    terminal.line(f"path: {dataset_path(dataset, root)}")
    terminal.result({"dataset": dataset, "metadata": metadata})


def _print_bars(terminal: Terminal, own: Mapping[str, Any]) -> None:
    """Which bars the steps are of."""
    hashes = own.get("market_sha256") or {}
    rows = [
        [
            symbol,
            _day(span.get("start")),
            _day(span.get("end")),
            span.get("bars"),
            str(hashes.get(symbol, ""))[:12] or None,
        ]
        for symbol, span in (own.get("train_range") or {}).items()
        if isinstance(span, Mapping)
    ]
    if rows:
        market = ", ".join(map(str, own.get("market") or []))
        terminal.table(f"bars of {market}", ["instrument", "from", "to", "bars", "sha256"], rows)


def _print_experts(terminal: Terminal, own: Mapping[str, Any]) -> None:
    """Who acted, with which noise, and what each earns an episode."""
    scores = own.get("expert_scores") or {}
    rows = [
        [
            one.get("label"),
            _named(rule.get("params")),
            ", ".join(_named(noise) for noise in one.get("noise") or []) or "none",
            scores.get(rule.get("name")),
        ]
        for one in own.get("experts") or []
        if isinstance(rule := one.get("expert"), Mapping)
    ]
    if rows:
        head = ["expert", "parameters", "noise", "mean log return an episode"]
        terminal.table("experts", head, rows)
    if own.get("privileged"):
        terminal.line("privileged: a teacher that reads the future took part")


def _print_settings(terminal: Terminal, own: Mapping[str, Any]) -> None:
    """The trading rules and episodes by the keys that --set takes; what made it."""
    from offline_trader.config import flat

    env = flat({"env": own.get("env_config") or {}})
    rows = [[key, _brief(value)] for key, value in env.items() if key != "env.market"]
    if rows:
        terminal.table("settings", ["key", "value"], rows, dash="not set")
    for key in ("seeds", "versions"):
        if own.get(key):
            terminal.line(f"{key}: {_named(own[key])}")
    if own.get("layout_hash"):
        terminal.line(f"observation layout: {own['layout_hash']}")


def _day(moment: object) -> object:
    return moment[:10] if isinstance(moment, str) else moment


def _named(values: object) -> str:
    """``key=value, …`` of a mapping; anything else as it is."""
    if not isinstance(values, Mapping):
        return str(_brief(values))
    return ", ".join(f"{key}={_brief(value)}" for key, value in values.items()) or "none"


def seal_dataset(
    dataset: Annotated[str, typer.Argument(help="Id, as in own/changed-v0.")],
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a dataset's files as they are: write the checksums that loading compares them with.

    For a dataset that has none, as those of others, or that was changed on purpose. That its
    numbers are what its maker wrote is your own word then.
    """
    from offline_trader.datasets import seal

    terminal = Terminal(as_json=as_json, quiet=quiet)
    changed = seal(dataset, root)
    terminal.line(f"{dataset}: {'sealed' if changed else 'its files match their checksums'}")
    terminal.result({"dataset": dataset, "sealed": changed})


def _row(name: str, metadata: Mapping[str, Any]) -> list[object]:
    own = metadata.get("offline_trader") or {}
    experts = ", ".join(str(one.get("label", "?")) for one in own.get("experts", []))
    if own.get("privileged"):
        experts += " (privileged)"
    size = metadata.get("dataset_size")
    return [
        name,
        metadata.get("total_episodes"),
        metadata.get("total_steps"),
        size,
        _brief(own.get("market")),
        experts or None,
    ]


def _brief(value: object) -> object:
    """A cell: what is in a list or mapping, in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_brief(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_brief(item)) for item in value)
    return str(value).lower() if isinstance(value, bool) else value


commands = {"list": list_all, "inspect": inspect_dataset, "seal": seal_dataset}
