"""``offline-trader datasets``: list, show, check, filter and merge the datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_trader.cli.console import Terminal, number
from offline_trader.cli.options import Json, Quiet, Root, examples, rooted

__all__ = ["EXAMPLES", "commands", "inspect_dataset", "list_all", "seal_dataset", "show_dataset"]

EXAMPLES = examples(
    "offline-trader datasets list",
    "offline-trader datasets inspect sp500/experts-v0",
    "offline-trader datasets inspect sp500/experts-v0 --json",
    "offline-trader datasets show sp500/experts-v0 --plots pictures",
    "offline-trader datasets check sp500/experts-v0",
    "offline-trader datasets filter sp500/experts-v0 sp500/best-v0 --top 0.5 --without inactive",
    "offline-trader datasets merge sp500/best-v0 sp500/more-v0 --to sp500/both-v0",
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


def show_dataset(
    dataset: Annotated[str, typer.Argument(help="Id, as in sp500/experts-v0.")],
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for actions, returns and coverage.")
    ] = None,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the episodes by expert: returns, trades, and how many hardly act; and draw them."""
    from offline_trader.pipeline.curating import expert_rows, plot_dataset

    terminal = Terminal(as_json=as_json, quiet=quiet)
    rows = expert_rows(dataset, root)
    heads = ["expert", "episodes", "steps", "mean return", "least", "most", "trades / 1,000 steps"]
    terminal.table(
        "",
        [*heads, "verdicts"],
        [
            [row.label, row.episodes, row.steps]
            + [f"{value:.3f}" for value in (row.mean_return, row.min_return, row.max_return)]
            + [f"{row.trades_per_1000_steps:.1f}"]
            + [", ".join(f"{count} {name}" for name, count in row.verdicts.items()) or "–"]
            for row in rows
        ],
    )
    files = plot_dataset(dataset, plots, root) if plots is not None else []
    for path in files:
        terminal.line(f"written: {path}")
    terminal.result(
        {
            "dataset": dataset,
            "experts": [asdict(row) for row in rows],
            "files": [str(path) for path in files],
        }
    )


def check(
    dataset: Annotated[str, typer.Argument(help="Id, as in sp500/experts-v0.")],
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read all of a dataset and compare it with its checksums and its metadata (exit code 3)."""
    from offline_trader.pipeline.curating import check_dataset

    terminal = Terminal(as_json=as_json, quiet=quiet)
    found = check_dataset(dataset, root)
    terminal.line(
        f"{dataset} is sound: {found['episodes']:,} episodes, {found['steps']:,} steps of "
        f"{found['columns']} columns"
    )
    terminal.result(found)


def filter_episodes(
    dataset: Annotated[str, typer.Argument(help="Id of the dataset to choose from.")],
    target: Annotated[str, typer.Argument(help="Id of the new dataset.")],
    experts: Annotated[
        list[str] | None, typer.Option("--expert", help="Label, as show lists it; repeatable.")
    ] = None,
    min_return: Annotated[
        float | None, typer.Option("--min-return", help="Least sum of rewards of an episode.")
    ] = None,
    top: Annotated[
        float | None, typer.Option("--top", help="Share of the best episodes, in (0, 1].")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="Verdict to leave out: inactive, rare, SATURATED."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the new one.")] = False,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a dataset of some episodes of another: by expert, by return, by verdict."""
    from offline_trader.pipeline.curating import Conditions, filtered

    terminal = Terminal(as_json=as_json, quiet=quiet)
    conditions = Conditions(tuple(experts or ()), min_return, top, tuple(without or ()))
    kept, total = filtered(dataset, target, conditions, root=root, overwrite=overwrite)
    terminal.line(f"{target}: {kept:,} of {total:,} episodes of {dataset}")
    terminal.next_step("pretrain", "--dataset", target, *rooted(root))
    terminal.result({"dataset": target, "source": dataset, "kept": kept, "episodes": total})


def merge(
    datasets: Annotated[list[str], typer.Argument(help="Ids, two or more.")],
    target: Annotated[str, typer.Option("--to", help="Id of the new dataset.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the new one.")] = False,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make one dataset of several that were collected on the same bars under the same rules."""
    from offline_trader.datasets import dataset_metadata, merge_datasets

    terminal = Terminal(as_json=as_json, quiet=quiet)
    merge_datasets(datasets, target, root=root, overwrite=overwrite)
    metadata = dataset_metadata(target, root)
    counts = {key: metadata[key] for key in ("total_episodes", "total_steps")}
    terminal.line(
        f"{target}: {counts['total_episodes']:,} episodes, {counts['total_steps']:,} steps"
    )
    terminal.next_step("pretrain", "--dataset", target, *rooted(root))
    terminal.result({"dataset": target, "sources": datasets, **counts})


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


commands = {
    "list": list_all,
    "inspect": inspect_dataset,
    "show": show_dataset,
    "check": check,
    "filter": filter_episodes,
    "merge": merge,
    "seal": seal_dataset,
}
