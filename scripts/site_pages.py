"""Hooks of mkdocs: documents that lie beside docs/ become pages, and links to them lead there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
BESIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the documents that lie beside ``docs/``."""
    for source, page in BESIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they are on the pages: in the repository they go from file to file."""
    beside = page.file.src_uri in BESIDE.values()

    def led(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        name = target.removeprefix("docs/") if beside else target.removeprefix("../")
        name = BESIDE.get(name, name)
        if beside or name != target:
            if not (ROOT / "docs" / name).exists() and name not in BESIDE.values():
                return "]" if "://" not in target else match[0]
            return f"]({name}{anchor})"
        return match[0]

    return LINK.sub(led, markdown)
