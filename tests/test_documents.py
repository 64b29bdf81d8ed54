"""README and docs: quoted figures are the measured ones, links lead somewhere, options exist."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from offline_trader.cli.main import COMMANDS
from offline_trader.types import digest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def load_quote() -> ModuleType:
    """``benchmarks/quote.py``; the folder is no installed package."""
    spec = importlib.util.spec_from_file_location("quote", ROOT / "benchmarks" / "quote.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quote = load_quote()


def test_quoted_figures_are_the_measured_ones() -> None:
    wrong = quote.differences()
    assert not wrong, "\n".join(["python -m benchmarks.quote brings them up to date:", *wrong])


def test_the_picture_of_the_stages_is_of_the_recorded_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT)  # the folder is no installed package
    picture = importlib.import_module("benchmarks.stages_picture")
    scores = digest(picture.panels())
    assert f"scores {scores}" in picture.PICTURE.read_text(encoding="utf-8"), (
        "python -m benchmarks.stages_picture draws it anew"
    )


@pytest.mark.parametrize(
    ("shown", "figure", "expected"),
    [
        ("31.2 million", {"value": 31_449_000.0, "unit": "1/s"}, "31.4 million"),
        ("1,234", {"value": 5678.4, "unit": "1/s"}, "5,678"),
        ("12 µs", {"value": 13.4e-6, "unit": "s"}, "13 µs"),
        ("12.2 µs", {"value": 59.78, "unit": "µs"}, "59.8 µs"),
        ("12.4 %", {"value": 0.1229, "unit": ""}, "12.3 %"),
        ("2 ×", {"value": 5.0, "unit": "1/s", "ratio": 6.7}, "7 ×"),
        ("8.0 minutes", {"value": 150.0, "unit": "s"}, "2.5 minutes"),
        ("0.3", {"value": -0.21, "unit": ""}, "−0.2"),
        ("−0.3", {"value": 0.21, "unit": ""}, "0.2"),
        ("−3.1 %", {"value": -0.2, "unit": ""}, "−20.0 %"),
    ],
)
def test_figures_are_quoted_in_the_unit_and_decimals_shown(
    shown: str, figure: dict[str, object], expected: str
) -> None:
    def known(match: re.Match[str]) -> str:
        return str(quote.formatted(match["shown"], match["unit"], figure))

    assert quote.rewritten(f"| {shown} <!-- a/b: c --> |", known) == (
        f"| {expected} <!-- a/b: c --> |"
    )


def test_ends_of_intervals_are_quoted(tmp_path: Path) -> None:
    figures = [
        {"name": "a (b)", "value": 0.5, "unit": "", "interval": [-0.25, 0.75]},
        {"name": "c", "value": 0.5, "unit": "", "interval": None},
    ]
    (tmp_path / "r.json").write_text(json.dumps({"figures": figures}))
    text = "1.00 <!-- r/a (b) --> (1.00 <!-- r/a (b) (low) --> to 1.00 <!-- r/a (b) (high) -->)"
    shown = quote.rewritten(text, lambda match: quote.measured(match, tmp_path))
    assert re.findall(r"−?\d\.\d\d", shown) == ["0.50", "−0.25", "0.75"]
    with pytest.raises(LookupError, match="no interval"):
        quote.measured(quote.QUOTED.search("1 <!-- r/c (low) -->"), tmp_path)


def test_a_figure_without_a_source_is_named(tmp_path: Path) -> None:
    match = quote.QUOTED.search("1 s <!-- nothing/there -->")
    with pytest.raises(LookupError, match=r"nothing\.json"):
        quote.measured(match, tmp_path)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    for target in [*linked, *re.findall(r'<img src="([^"]+)"', text)]:
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_shows_what_comes_out_on_its_first_screen() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:30]
    (picture,) = re.findall(r'<img src="([^"]+)"', "\n".join(first))
    assert (ROOT / picture).stat().st_size < 150_000


def test_every_document_is_a_page_that_is_found() -> None:
    """``mkdocs build --strict`` (of ``scripts/check``) refuses what is listed and not there."""
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    beside = {"contributing.md", "changelog.md"}
    there = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    assert there == listed - beside
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in there - {"index.md"}:
        if not page.startswith("api/"):
            assert f"]({page}" in index, f"index.md does not lead to {page}"


def test_the_reference_covers_every_package() -> None:
    pages = "".join(file.read_text("utf-8") for file in (ROOT / "docs" / "api").glob("*.md"))
    shown = set(re.findall(r"^::: ([\w.]+)$", pages, flags=re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(project["tool"]["setuptools"]["packages"])
    inner = {"offline_trader.cli"}  # commands are documented as commands
    inner |= {name for name in packages if name.startswith("offline_trader.learning.engines")}
    inner |= {"offline_trader.learning.d3rlpy", "offline_trader.learning.stages.direct"}
    assert packages - inner <= shown


def test_every_command_has_a_section() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## `?([a-z-]+)`?$", text, flags=re.MULTILINE))
    assert set(COMMANDS) <= sections
