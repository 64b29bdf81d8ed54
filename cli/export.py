"""``offline-trader export``: a run's policy as one ONNX file with its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import DryRun, Json, Quiet, Unverified, examples
from offline_trader.pipeline.exporting import check_export, export_run
from offline_trader.pipeline.seed_records import chosen_run

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader export runs/finetune",
    "offline-trader export runs/finetune --output policy/sp500.onnx",
    "offline-trader export runs/finetune --force",
)


def command(
    run: Annotated[Path, typer.Argument(help="A finished run, as runs/finetune.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The ONNX file; by default RUN/export/policy.onnx."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Export a COLLAPSED policy, too; the manifest says so.")
    ] = False,
    unverified: Unverified = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the policy with its scaler as one ONNX file, compare it with torch, hash it.

    A policy with the verdict COLLAPSED is refused (exit code 4) unless --force is given.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    run = chosen_run(run, terminal)
    target = output or run / "export" / "policy.onnx"
    if dry_run:
        check_export(run, unverified=unverified)
        terminal.line(f"{run} would be exported to {target}; nothing was done (--dry-run)")
        terminal.result({"run": str(run), "model": str(target)})
        return
    exported = export_run(run, target, force=force, unverified=unverified)
    if exported.verdicts:
        for verdict, reason in exported.collapse["reasons"].items():
            terminal.line(f"verdict: {verdict}, {reason}")
    terminal.line(
        f"parity with torch: {exported.max_abs_difference:.1e} at most; "
        f"{exported.size_bytes:,} bytes, sha256 {exported.sha256[:16]}…"
    )
    terminal.line(f"model: {exported.model}")
    terminal.line(f"manifest: {exported.manifest}")
    terminal.result({**vars(exported), "verdicts": list(exported.verdicts)})
