#!/usr/bin/env python3
"""The shape of the package in figures: lines a room, sizes, arrows between rooms, circles.

    scripts/structure.py              the tree as it lies here
    scripts/structure.py REVISION     that revision beside it

Reads source as text and runs none of it.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
TOP = ("cli", "evaluation", "datasets", "experts")
Function = ast.FunctionDef | ast.AsyncFunctionDef
_T = TypeVar("_T")


def modules(root: Path) -> dict[str, ast.Module]:
    """Every module of the package by its dotted name below ``offline_trader``."""
    found = {}
    for folder in ("offline_trader", *TOP):
        for path in sorted((root / folder).rglob("*.py")):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[1:] if folder == "offline_trader" else parts
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.Module, known: Mapping[str, ast.Module]) -> Iterator[str]:
    """The package's modules that a module imports when it is executed, inside functions too."""
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if not node.module.startswith("offline_trader"):
            continue
        module = node.module.removeprefix("offline_trader").removeprefix(".")
        for name in node.names:
            inner = f"{module}.{name.name}".removeprefix(".")
            yield inner if inner in known else module


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(arrows[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in sorted(arrows):
        if name not in index:
            visit(name)
    return groups


def shape(root: Path) -> dict[str, str]:
    """The figures of one tree, in the order in which they are shown."""
    trees = modules(root)
    lines = {name: _lines(root, name) for name in trees}
    rooms: Counter[str] = Counter()
    for name, count in lines.items():
        rooms[_room(name)] += count
    functions = [n for tree in trees.values() for n in ast.walk(tree) if isinstance(n, Function)]
    documented = [told for tree in trees.values() for told in _public(tree)]
    arrows: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        arrows[name] |= {each for each in imports(tree, trees) if each and each != name}
    between = Counter((_room(a), _room(b)) for a, found in arrows.items() for b in found)
    sizes = sorted(count for name, count in lines.items() if count > 1)
    lengths = sorted((f.end_lineno or f.lineno) - f.lineno + 1 for f in functions)
    found = circles(defaultdict(set, arrows))
    return {
        **{f"lines: {room}": f"{count:,}" for room, count in sorted(rooms.items())},
        "lines: package": f"{sum(lines.values()):,}",
        "modules": f"{len(trees)}",
        "lines a module, median / 90 %": _quantiles(sizes),
        "lines a function, median / 90 %": _quantiles(lengths),
        "public functions with a docstring": _share(documented, bool),
        "functions with a return type": _share(functions, lambda f: f.returns is not None),
        "circles between modules": "; ".join(" ↔ ".join(group) for group in found) or "none",
        "arrows cli → learning": f"{between['cli', 'learning']}",
        "arrows benchmarks, examples → cli": f"{_outside(root)}",
    }


def _room(name: str) -> str:
    return name.split(".")[0].replace("__init__", "face")


def _lines(root: Path, name: str) -> int:
    parts = name.split(".") if name else []
    base = root if parts and parts[0] in TOP else root / "offline_trader"
    path = base.joinpath(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return len(file.read_text(encoding="utf-8").splitlines())


def _quantiles(values: list[int]) -> str:
    return f"{statistics.median(values):.0f} / {values[int(0.9 * len(values))]}"


def _public(node: ast.Module | ast.ClassDef) -> Iterator[bool]:
    """Of each function that others call by its name, whether it is documented: by itself, or a
    property under the ``Attributes:`` of its class. What a function defines inside is its own."""
    attributes = (ast.get_docstring(node) or "").partition("Attributes:")[2]
    for child in node.body:
        if isinstance(child, Function | ast.ClassDef) and child.name.startswith("_"):
            continue
        if isinstance(child, ast.ClassDef):
            yield from _public(child)
        elif isinstance(child, Function):
            named = re.search(rf"^ *(\w+, )*{child.name}(, \w+)*:", attributes, re.MULTILINE)
            yield bool(ast.get_docstring(child) or (child.decorator_list and named))


def _share(values: list[_T], has: Callable[[_T], bool]) -> str:
    return f"{sum(map(has, values)) / len(values):.1%}"


def _outside(root: Path) -> int:
    files = [p for folder in ("benchmarks", "examples") for p in (root / folder).rglob("*.py")]
    return sum(
        isinstance(node, ast.ImportFrom) and (node.module or "").startswith("offline_trader.cli")
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("revision", nargs="?", help="a git revision to put beside the tree")
    revision = parser.parse_args().revision
    columns = {"now": shape(ROOT)}
    if revision:
        with tempfile.TemporaryDirectory() as folder:
            archive = subprocess.run(
                ["git", "archive", revision], cwd=ROOT, check=True, capture_output=True
            )
            subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
            columns = {revision: shape(Path(folder)), **columns}
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    print("| | " + " | ".join(columns) + " |\n| --- |" + " ---: |" * len(columns))
    for name in names:
        print(f"| {name} | " + " | ".join(c.get(name, "–") for c in columns.values()) + " |")


if __name__ == "__main__":
    main()
