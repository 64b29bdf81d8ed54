"""``offline-trader export``: a run's policy as one ONNX file with its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.feature_options import (
    BarEnd,
    Features,
    FeaturesOnly,
    SignalFiles,
    Signals,
    TrustFeatures,
    chosen_features,
    naming,
)
from offline_trader.cli.options import (
    Config,
    DryRun,
    Json,
    Quiet,
    Seed,
    Settings,
    Unverified,
    examples,
    listed,
    resolve,
    show_settings,
)
from offline_trader.config import to_dict
from offline_trader.errors import ConfigError, GateFailed
from offline_trader.pipeline.exporting import Exported, check_export, export_run
from offline_trader.pipeline.foreign_export import (
    ForeignExportConfig,
    export_foreign,
    place_of,
    require_market,
)
from offline_trader.pipeline.foreign_strategies import foreign_policy
from offline_trader.pipeline.seed_records import chosen_run

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader export runs/finetune",
    "offline-trader export runs/finetune --output policy/sp500.onnx",
    "offline-trader export runs/finetune --force",
    "offline-trader export runs/finetune --features my_features.py:signals",
    "offline-trader export my_policies.py:ppo --market sp500 --end 2012-12-31 -o ppo/policy.onnx",
)


def command(
    run: Annotated[
        str,
        typer.Argument(
            help="A finished run, as runs/finetune; or a policy from elsewhere: file.py:function "
            "that returns a model, a plain ONNX or TorchScript file."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The ONNX file; by default RUN/export/policy.onnx."),
    ] = None,
    market: Annotated[
        list[str] | None,
        typer.Option(
            "--market",
            help="What a policy from elsewhere was trained on; a run knows it. Repeatable.",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="First date that it was trained on.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="Last date that it was trained on.")
    ] = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    force: Annotated[
        bool, typer.Option("--force", help="Export a COLLAPSED policy, too; the manifest says so.")
    ] = False,
    features: Features = None,
    signal: Signals = None,
    signal_file: SignalFiles = None,
    bar_end: BarEnd = None,
    features_only: FeaturesOnly = False,
    trust_features: TrustFeatures = False,
    unverified: Unverified = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the policy with its scaler as one ONNX file, compare it with torch, hash it.

    A policy with the verdict COLLAPSED is refused (exit code 4) unless --force is given; a report
    in the folder "refused" beside the model's place shows what it does.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    chosen = chosen_features(
        features, signal, signal_file, bar_end, only=features_only, trust=trust_features
    )
    again = naming(features, trust=trust_features)
    foreign = foreign_policy(run, unverified=unverified)
    if foreign is not None:
        plan = resolve(
            ForeignExportConfig,
            config,
            settings,
            None if foreign.env is None else {"env": to_dict(foreign.env)},
            env__market=listed(market),
            env__start=start,
            env__end=end,
            seed=seed,
            **chosen,
        )
        require_market(foreign, plan, market)
        target = output or place_of(foreign)
        if dry_run:
            show_settings(terminal, plan)
            return
        _print(terminal, export_foreign(foreign, plan, target, force=force), again)
        return
    observed = signal or signal_file or bar_end or features_only
    if market or start or end or config or settings or observed or seed is not None:
        raise ConfigError(
            f"{run} with --market, dates, signals, --features-only, --seed or settings",
            expected="none of them: a run knows what it was trained on",
        )
    source = chosen_run(Path(run), terminal)
    target = output or source / "export" / "policy.onnx"
    if dry_run:
        check_export(source, unverified=unverified)
        terminal.line(f"{source} would be exported to {target}; nothing was done (--dry-run)")
        terminal.result({"run": str(source), "model": str(target)})
        return
    try:
        exported = export_run(
            source,
            target,
            terminal,
            force=force,
            unverified=unverified,
            refusal=target.parent / "refused",
        )
    except GateFailed:
        terminal.next_step("evaluate", source, *again)  # on bars that training did not see
        raise
    _print(terminal, exported, again)


def _print(terminal: Terminal, exported: Exported, again: Sequence[str]) -> None:
    if exported.verdicts:
        for verdict, reason in exported.collapse["reasons"].items():
            terminal.line(f"verdict: {verdict}, {reason}")
    terminal.line(
        f"parity with torch: {exported.max_abs_difference:.1e} at most; "
        f"{exported.size_bytes:,} bytes, sha256 {exported.sha256[:16]}…"
    )
    terminal.line(f"model: {exported.model}")
    terminal.line(f"manifest: {exported.manifest}")
    terminal.next_step("evaluate", exported.model, *again)
    terminal.result({**vars(exported), "verdicts": list(exported.verdicts)})
