"""The options that several commands share, with one spelling and one help text each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from offline_trader.cli.console import Terminal
from offline_trader.codec import to_json
from offline_trader.config import config_hash, load_config, to_dict, to_yaml
from offline_trader.errors import ConfigError

__all__ = [
    "Closes",
    "Config",
    "Device",
    "DryRun",
    "Json",
    "Overwrite",
    "Quiet",
    "Resume",
    "Root",
    "RunName",
    "Seed",
    "Settings",
    "Stages",
    "Threads",
    "Tz",
    "Unverified",
    "Workers",
    "as_numbers",
    "examples",
    "listed",
    "market_sources",
    "resolve",
    "rooted",
    "show_settings",
    "stages_option",
]

T = TypeVar("T")

Config: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE.yaml", help="Settings that replace the defaults."),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting over defaults and file, as in env.simulator.commission_bps=2; "
        "the same key in every command; repeatable.",
    ),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of everything random in this command.")
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")
]
DryRun: TypeAlias = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, print the resolved settings, do nothing."),
]
Resume: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run of this name stopped.")
]
RunName: TypeAlias = Annotated[
    Path, typer.Option("--run", metavar="FOLDER", help="The run directory to write.")
]
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="FOLDER",
        help="Folder of the datasets; by default Minari's ($MINARI_DATASETS_PATH).",
    ),
]

Tz: TypeAlias = Annotated[
    str | None,
    typer.Option("--tz", help="Time zone of timestamps that name none, as America/New_York."),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of a training; more help wide networks only."),
]
Workers: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|ray|ADDRESS",
        help="Processes at once; ray: on a Ray cluster of this machine; ray://HOST:PORT or "
        "HOST:PORT: on one that is there.",
    ),
]
Device: TypeAlias = Annotated[
    str | None, typer.Option("--device", help="cpu, or cuda where there is an NVIDIA GPU.")
]
Stages: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--stages",
        metavar="LIST",
        help="What the pretraining consists of, in this order: clone (or bc), direct, offline (or "
        "an algorithm: cql, sac, iql …), separated by commas.",
    ),
]
Unverified: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--unverified", help="Open a model that states no hash of itself, as files of others may."
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace the report that is in the folder.")
]
Closes: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--closes",
        help="The files hold closes alone: open, high and low are the close, and orders fill at "
        "the next close.",
    ),
]


def market_sources(values: Sequence[str] | None, closes: bool) -> list[str] | None:
    """Sources that a user names, as closes where ``--closes`` says so.

    Raises:
        ConfigError: ``--closes`` without a file.
    """
    if not closes:
        return None if values is None else list(values)
    from offline_trader.markets import of_closes

    if not values:
        raise ConfigError("--closes without a file", expected="--market FILE beside it")
    return [of_closes(source) for source in values]


def resolve(
    cls: type[T],
    config: Path | None,
    settings: Sequence[str] | None,
    base: Mapping[str, Any] | None = None,
    **options: object,
) -> T:
    """The configuration: defaults, then ``base``, the file, the options given, ``--set``.

    Args:
        cls: the command's configuration.
        config: ``--config``.
        settings: ``--set`` texts.
        base: settings that a parent run passes on.
        options: values of the command's own options by dotted key with ``__`` for the dot;
            None means not given.

    Raises:
        ConfigError: a setting that cannot be, or a file that names code (see ``docs/security.md``).
    """
    given = [
        f"{key.replace('__', '.')}={value}" for key, value in options.items() if value is not None
    ]
    given += settings or []
    return load_config(cls, config, given, base)


def rooted(root: Path | None) -> list[str]:
    """``--root`` again, for the command that is to go on with what lies there."""
    return [] if root is None else ["--root", str(root)]


def stages_option(stages: str | None, algorithm: str | None) -> dict[str, Any]:
    """``--stages`` and ``--algorithm`` as settings; an algorithm among the stages is the
    learner's."""
    from offline_trader.pipeline.settings import algorithm_among

    names = [name.strip() for name in (stages or "").split(",")]
    given = None if stages is None else to_json(names)
    return {"learner__algorithm": algorithm or algorithm_among(names), "stages": given}


def listed(values: Sequence[str] | None) -> str | None:
    """A repeated option as the text of a list setting; None stays None."""
    return to_json(values) if values else None


def as_numbers(option: str, text: str) -> tuple[float, ...]:
    """The numbers of ``1,2,3``.

    Raises:
        ConfigError: something else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text}", expected="numbers with commas between") from error


def show_settings(terminal: Terminal, config: object) -> None:
    """What ``--dry-run`` prints: the resolved settings and their hash."""
    terminal.line(to_yaml(config).rstrip())
    terminal.line(f"# settings {config_hash(config)[:12]}; nothing was done (--dry-run)")
    terminal.result({"config": to_dict(config), "config_hash": config_hash(config)})


def examples(*lines: str) -> str:
    """The examples at the end of a command's help, a line each."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"$ {line}" for line in lines)])
