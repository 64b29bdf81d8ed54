"""``offline-trader datasets``: list the datasets, show what one holds, take one as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from offline_trader.cli.console import Terminal
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
    rows: list[list[object]] = [["path", str(dataset_path(dataset, root))]]
    rows += [[key, metadata.get(key)] for key in ("total_episodes", "total_steps", "dataset_size")]
    own = metadata.get("offline_trader") or {}
    rows += [[key, _brief(value)] for key, value in own.items() if key not in ("layout", "scaler")]
    terminal.table(dataset, ["", "value"], [[name, _brief(value)] for name, value in rows])
    terminal.result({"dataset": dataset, "metadata": metadata})


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
        _brief(own.get("market", "–")),
        experts or "–",
    ]


def _brief(value: object) -> object:
    """A cell: mappings as ``key=value`` lines, hashes as they are."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}={_brief(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_brief(item)) for item in value)
    return value


commands = {"list": list_all, "inspect": inspect_dataset, "seal": seal_dataset}
