"""README and docs: quoted figures are the measured ones, links lead somewhere, options exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from offline_trader.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# A figure is followed by a comment that names its source: 31.2 million <!-- simulator/steps -->
QUOTED = re.compile(
    r"(?P<shown>\d[\d.,]*)(?P<unit>[^<\d|]*?)\s*<!-- (?P<file>\w+)/(?P<name>.+?) -->"
)
SCALES = {"million": 1e-6, "thousand": 1e-3, "%": 1e2, "ms": 1e3, "µs": 1e6}


def quoted_figures() -> list[tuple[str, re.Match[str]]]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        found += [(document.name, match) for match in QUOTED.finditer(text)]
    return found


def measured(file: str, name: str) -> dict[str, object]:
    path = ROOT / "benchmarks" / "results" / f"{file}.json"
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    matching = [figure for figure in figures if figure["name"] == name]
    assert len(matching) == 1, f"{path.name} has {len(matching)} figures named {name!r}"
    return dict(matching[0])


def agrees(shown: str, unit: str, figure: dict[str, object]) -> bool:
    """Whether the digits shown are the measured value (or its ratio, for ×) rounded to them."""
    value = figure["ratio"] if "×" in unit or "times" in unit else figure["value"]
    assert isinstance(value, int | float)
    own = str(figure.get("unit", ""))
    word = unit.split()[0] if unit.split() else ""
    scale = 1.0 if word and word in own else SCALES.get(word, 1.0)
    digits = shown.replace(",", "").rstrip(".")
    places = len(digits.partition(".")[2])
    return f"{value * scale:.{places}f}" == digits


def test_quoted_figures_are_the_measured_ones() -> None:
    wrong = []
    for document, match in quoted_figures():
        figure = measured(match["file"], match["name"])
        if not agrees(match["shown"], match["unit"], figure):
            wrong.append(f"{document}: {match[0]} but measured {figure['value']}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("31.2 million <!-- a/b -->", 31_249_000.0, True),
        ("31.3 million <!-- a/b -->", 31_249_000.0, False),
        ("1,234 <!-- a/b -->", 1234.4, True),
        ("12 µs <!-- a/b -->", 12.4e-6, True),
        ("12.4 % <!-- a/b -->", 0.1239, True),
        ("12.4 % <!-- a/b -->", 0.1229, False),
    ],
)
def test_the_figure_check_can_fail(text: str, value: float, expected: bool) -> None:
    match = QUOTED.search(text)
    assert match
    assert agrees(match["shown"], match["unit"], {"value": value, "unit": "x"}) is expected


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_command_has_a_section() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## `?([a-z-]+)`?$", text, flags=re.MULTILINE))
    assert set(COMMANDS) <= sections
