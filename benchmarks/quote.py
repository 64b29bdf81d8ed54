"""Figures in README and docs: checked against ``benchmarks/results``, or brought up to date.

A quoted figure is followed by a comment that names its source, file and figure::

    12.2 µs <!-- latency/64 units: p50 -->
    (−0.1 <!-- statistics/size (low) --> to 0.2 <!-- statistics/size (high) -->)

A name with "(low)" or "(high)" behind it means an end of the figure's interval; a negative number
has a minus sign (−). ``python -m benchmarks.quote`` rewrites every quoted figure, with as many
decimals as it has; ``--check`` only lists those that differ.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["QUOTED", "differences", "documents", "measured", "rewritten"]

ROOT = Path(__file__).resolve().parent.parent
QUOTED = re.compile(
    r"(?P<shown>−?\d[\d.,]*)(?P<unit>[^<\d|]*?)\s*<!-- (?P<file>[\w-]+)/(?P<name>.+?) -->"
)
ENDS = {" (low)": 0, " (high)": 1}
SCALES = {"million": 1e-6, "thousand": 1e-3, "%": 1e2, "ms": 1e3, "µs": 1e6, "minutes": 1 / 60}


def documents(root: Path = ROOT) -> list[Path]:
    """README, changelog and docs."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def measured(match: re.Match[str], results: Path = ROOT / "benchmarks" / "results") -> str:
    """The figure that ``match`` quotes, with the decimals and the unit that are shown.

    With × or "times" behind it the figure's ratio is meant, otherwise its value.

    Raises:
        LookupError: no such result file, not exactly one figure of that name, or one without an
            interval of which an end is quoted.
    """
    path = results / f"{match['file']}.json"
    if not path.is_file():
        raise LookupError(f"{match[0]}: there is no {path.name}")
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    end = next((end for end in ENDS if match["name"].endswith(end)), "")
    name = match["name"].removesuffix(end)
    found = [figure for figure in figures if figure["name"] == name]
    if len(found) != 1:
        raise LookupError(f"{match[0]}: {path.name} has {len(found)} figures of that name")
    figure = found[0]
    if end:
        if figure["interval"] is None:
            raise LookupError(f"{match[0]}: the figure in {path.name} has no interval")
        figure = {**figure, "value": figure["interval"][ENDS[end]]}
    return formatted(match["shown"], match["unit"], figure)


def formatted(shown: str, unit: str, figure: Mapping[str, Any]) -> str:
    """``figure`` in the form of ``shown``: the same unit, decimals and thousands separators."""
    value = float(figure["ratio"] if "×" in unit or "times" in unit else figure["value"])
    word = unit.split()[0] if unit.split() else ""
    scale = 1.0 if word and word in str(figure.get("unit", "")) else SCALES.get(word, 1.0)
    digits = shown.removeprefix("−").rstrip(".,")
    places = len(digits.partition(".")[2])
    separator = "," if "," in digits or value * scale >= 1e4 else ""
    return f"{value * scale:{separator}.{places}f}".replace("-", "−")


def rewritten(text: str, figure: Callable[[re.Match[str]], str] = measured) -> str:
    """``text`` with every quoted figure as it was measured."""

    def replace(match: re.Match[str]) -> str:
        shown = match["shown"]
        trailing = shown[len(shown.rstrip(".,")) :]
        return match[0].replace(shown, figure(match) + trailing, 1)

    return QUOTED.sub(replace, text)


def differences(root: Path = ROOT) -> list[str]:
    """Every line of a document that quotes a figure that was not measured so."""
    wrong = []
    for path in documents(root):
        before = path.read_text(encoding="utf-8").splitlines()
        after = rewritten("\n".join(before)).splitlines()
        name = path.relative_to(root)
        pairs = zip(before, after, strict=True)
        wrong += [f"{name}: {old.strip()} ← {new.strip()}" for old, new in pairs if old != new]
    return wrong


def main() -> None:
    """Rewrite, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="list differences, write nothing")
    found = differences()
    print("\n".join(found) or "every quoted figure is as measured")
    if parser.parse_args().check:
        sys.exit(1 if found else 0)
    for path in documents():
        text = path.read_text(encoding="utf-8")
        path.write_text(rewritten(text), encoding="utf-8")


if __name__ == "__main__":
    main()
