"""The entry point: finds the command, loads that command's module alone, turns errors into codes.

``offline-trader --help`` lists the commands from the table below without importing them, so it
answers before torch, pandas or numba could be loaded.

Exit codes: 0 done, 1 our bug, 2 usage or configuration, 3 data, 4 a gate failed, 5 halted by
risk, 130 interrupted.
"""

from __future__ import annotations

import errno
import functools
import gc
import importlib
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from offline_trader import __version__
from offline_trader.errors import ConfigError, DataError, OfflineTraderError, visible
from offline_trader.interrupts import stop_on_interrupt

__all__ = ["COMMANDS", "main"]

# Name → what the list of commands says; the module is offline_trader.cli.NAME with - as _.
COMMANDS: dict[str, str] = {
    "demo": "S&P 500 prices to an ONNX policy with a report, in one command.",
    "markets": "List the built-in markets, check bar files of one's own, or make synthetic bars.",
    "experts": "List the experts with their parameters, and their score on a market.",
    "datasets": "List and inspect the collected datasets.",
    "collect": "Let experts trade in the simulator and store it as a Minari dataset.",
    "pretrain": "Clone the experts of a dataset, then learn offline from it.",
    "finetune": "Go on learning online, in the simulator, from a pretrained run.",
    "export": "Write a run's policy as one ONNX file with its manifest.",
    "evaluate": "Judge a policy or an expert on a market range, with a report.",
    "walk-forward": "Train and judge on windows that move through time.",
    "compare": "Put two or more evaluations side by side.",
    "judge": "Judge returns, an equity curve or trades that were made elsewhere.",
    "known-optimum": "Score a policy or a learner where the best policy is known.",
    "doctor": "Look whether this installation works, and say what to do where it does not.",
    "power": "Find out which signals the line would find in bars like yours.",
    "audit": "Find outputs of a feature or rule that read the future.",
    "serve": "Serve an exported model over HTTP, behind a risk gate and with an audit log.",
    "dashboard": "Show what desks do on a page, from their audit logs.",
    "alerts": "Show, and try out, when people are told of what a served model does.",
    "audit-log": "Verify, export and replay the log of a desk that serves a model.",
}

_INTERRUPTED = 130
_INTERRUPTION = "interrupted"
_GO_ON = "\n  what to do: the same command with --resume goes on where it stopped"
_COMPLETING = "_OFFLINE_TRADER_COMPLETE"
_LONGEST = 2_000
_THE_PLACE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP),
}
"""What the system answers where a place is wrong for reading or writing, and not our code."""
_RARE_COLLECTIONS = (100_000, 20, 20)
"""Allocations before cycles are looked for (Python's own: 700): imports make hundreds of thousands
of objects that stay, and looking through them took a tenth of a short command's time."""
_EPILOG = (
    "The line: collect → pretrain → finetune → export → evaluate; demo runs all of it. "
    "offline-trader COMMAND --help shows a command's options and examples."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends by ``SystemExit`` with one of the codes above."""
    gc.set_threshold(*_RARE_COLLECTIONS)
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not os.environ.get("COLUMNS", "80").strip().strip("0").isdigit():
        del os.environ["COLUMNS"]  # of no width, everything would be cut away
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a dash that it lacks must not end the command
            stream.reconfigure(errors="replace")
    try:
        with stop_on_interrupt():
            _application(argv)(args=argv, prog_name="offline-trader")
    except KeyboardInterrupt:
        _stop(_INTERRUPTION, _INTERRUPTED)
    except OfflineTraderError as error:
        _refuse(error)
    except OSError as error:
        _refuse_place(error)
    except Exception:
        _own_fault()


def _application(argv: Sequence[str]) -> typer.Typer:
    """The Typer application: the chosen command in full, of the others the name and one line."""
    app = typer.Typer(
        name="offline-trader",
        help="From price history and trading rules to a policy that can be deployed.",
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_global_options)
    words = [word for word in _words(argv) if not word.startswith("-")]
    chosen = words[0] if words else None
    for name, summary in COMMANDS.items():
        if name == chosen:
            module = importlib.import_module(f"offline_trader.cli.{name.replace('-', '_')}")
            _add(app, name, module, words[1:])
        else:
            app.command(name, help=summary)(_not_loaded)
    return app


def _words(argv: Sequence[str]) -> Sequence[str]:
    """The words of the command line, also of one that a shell wants completed (Typer's names)."""
    if _COMPLETING not in os.environ:
        return argv
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return typed.split()[1:]


def _add(app: typer.Typer, name: str, module: Any, words: Sequence[str]) -> None:
    """Register a command module: ``command`` is its function, ``commands`` its sub-commands; where
    it has both, the next of ``words`` decides."""
    subs = getattr(module, "commands", {})
    if subs and (not hasattr(module, "command") or (words and words[0] in subs)):
        group = typer.Typer(help=COMMANDS[name], no_args_is_help=True)
        for sub, function in subs.items():
            group.command(sub, epilog=module.EXAMPLES)(_guarded(function))
        app.add_typer(group, name=name)
    else:
        app.command(name, epilog=module.EXAMPLES)(_guarded(module.command))


def _not_loaded() -> None:
    raise AssertionError("only the chosen command runs")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"offline-trader {__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """From price history and trading rules to a policy that can be deployed."""


def _guarded(function: Callable[..., None]) -> Callable[..., None]:
    """``function`` with its errors turned into messages and exit codes."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            further = "resume" in inspect.signature(function).parameters
            _stop(_INTERRUPTION + (_GO_ON if further else ""), _INTERRUPTED)
        except BrokenPipeError:  # the reader of our output, such as head, has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except OfflineTraderError as error:
            _refuse(error)
        except OSError as error:
            _refuse_place(error)
        except Exception:
            _own_fault()

    return run


def _stop(message: str, code: int) -> None:
    print(visible(message), file=sys.stderr)
    raise SystemExit(code)


def _refuse(error: OfflineTraderError) -> None:
    """Print what was found, what was expected and what to do; exit with the error's own code."""
    found = error.found if len(error.found) <= _LONGEST else f"{error.found[:_LONGEST]}…"
    lines = [f"error: {found}"]
    if error.expected:
        lines.append(f"  expected: {error.expected}")
    if error.hint:
        lines.append(f"  what to do: {error.hint}")
    _stop("\n".join(lines), error.exit_code)


def _refuse_place(error: OSError) -> None:
    """A short block where the system refuses a file or folder; anything else is our bug.

    A disk without room has the code that it has in ``collect``: the place was well chosen.
    """
    from offline_trader.datasets.disk import NO_ROOM

    if error.errno in NO_ROOM:
        _refuse(
            DataError(
                f"{error.filename or 'a file or the output'} cannot be written: {error.strerror}",
                expected="room on the disk",
                hint="make room and run it again (with --resume where there is a run), or choose "
                "another place",
            )
        )
    if error.errno not in _THE_PLACE:
        _own_fault()
    _refuse(
        ConfigError(
            f"{error.filename or 'a file or the output'} cannot be used: {error.strerror or error}",
            expected="files that can be read, and folders that can be written",
            hint="choose another place, as with --run, --root or --output",
        )
    )


def _own_fault() -> None:
    traceback.print_exc(file=sys.stderr)
    _stop(
        f"This is a bug in offline-trader {__version__}, not in what you did. "
        "Please report it with the command and the lines above.",
        1,
    )


if __name__ == "__main__":
    main()
