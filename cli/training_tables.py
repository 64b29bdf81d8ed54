"""What is shown of finished trainings: the stages of one, the seeds of several."""

from __future__ import annotations

from pathlib import Path

from offline_trader.cli.console import Terminal
from offline_trader.pipeline.run_facts import StageFacts
from offline_trader.pipeline.seed_records import SeedsRecord
from offline_trader.pipeline.trained_runs import TrainedRun

__all__ = ["print_seeds", "print_training"]


def print_training(terminal: Terminal, run: TrainedRun) -> None:
    """What a training run did, and where its policy is."""
    facts = run.facts
    cloned = facts.clone
    if cloned is not None and cloned.holdout_mse is not None:
        terminal.line(
            f"clone: mean square error {cloned.holdout_mse:.4f} on "
            f"{cloned.holdout_transitions:,} held-out transitions "
            f"(best constant action: {cloned.holdout_mean_mse:.4f})"
        )
    for row in facts.history:
        for sentence in row.told:
            terminal.line(f"{row.stage}: {sentence}")
    env = facts.validation_env
    told = "by validation" if env is not None else "on the bars trained on"
    for name, stage in facts.stages.items():
        chosen = {
            "best": f"policy of step {stage.kept_step:,} kept {told}: {stage.reason}",
            "warm_start": f"the policy that it began with kept {told}: {stage.reason}",
            "last": "last policy kept (no validation)",
        }[stage.kept]
        terminal.line(f"{name}: {stage.updates:,} updates; {chosen}{_scored(stage)}")
        if stage.interval is not None and env is not None:
            low, high = stage.interval
            terminal.line(
                f"{name}: net log growth a year {stage.difference:+.4f} beside the policy that it "
                f"began with, 95 % interval {low:+.4f} to {high:+.4f}"
            )
    if facts.goal is not None:
        task = facts.goal.task
        terminal.line(
            f"goal: {task.kind} over {task.horizon} bars, by default {task.default:.4g} "
            f"({facts.goal.chosen}); the score is the mean reward over nine goals"
        )
    if facts.options is not None:
        chosen_among = facts.options.settings
        terminal.line(f"options: {', '.join(chosen_among.names)}, chosen by {chosen_among.method}")
    if facts.goal is None and env is not None:
        terminal.line(
            f"the score is the net Sharpe ratio a year on {', '.join(env.market)}, {env.start} to "
            f"{env.end}; a policy that is COLLAPSED, STATE-BLIND, hardly trades or hardly invests "
            "has none"
        )
    terminal.line(f"run: {run.path}")


def _scored(stage: StageFacts) -> str:
    """The scores that a stage chose by, where it chose."""
    if stage.kept == "last":
        return ""
    kept, begun, last = (
        "none" if score is None else f"{score:.3f}"
        for score in (stage.kept_score, stage.warm_score, stage.last_score)
    )
    return f" (score {kept}; of the one it began with {begun}, of the last {last})"


def print_seeds(terminal: Terminal, folder: Path, record: SeedsRecord) -> None:
    """A row a seed, the summary, and which is the best."""
    terminal.table(
        "",
        ["run", "validation of the clone", "of the kept policy", "kept", "of update"],
        [
            [row.run, row.warm_score, row.kept_score, (row.kept or "not known").replace("_", " "),
             row.kept_step]
            for row in record.seeds
        ],
    )  # fmt: skip
    found = record.validation
    if found is not None:
        seeds = len(record.seeds)
        counted = f"{seeds}" if found.n == seeds else f"the {found.n} of {seeds}"
        unranked = "" if found.n == seeds else " that have one"
        interval = "too few for an interval"
        if found.interval is not None:
            interval = "95 % interval {:.3f} to {:.3f}".format(*found.interval)
        terminal.line(
            f"interquartile mean of the validation scores over {counted} seeds{unranked}: "
            f"{found.iqm:.3f}, {interval}"
        )
    if record.best is None:
        terminal.line("no validation ranks them: finetune and export need one run by name")
    else:
        terminal.line(f"best by validation: {folder / record.best.run}")
    terminal.line(f"seeds: {folder}")
