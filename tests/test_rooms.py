"""The rooms' rules: what a package shows, what a module may be called, who touches internals."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections import defaultdict
from pathlib import Path

import pytest

import offline_trader

ROOT = Path(offline_trader.__file__).parent
MODULES = {
    ".".join(("offline_trader", *path.relative_to(ROOT).with_suffix("").parts)): path
    for path in sorted([*ROOT.rglob("*.py"), *(f for d in ROOT.iterdir() for f in d.rglob("*.py"))])
}
PACKAGES = {name.removesuffix(".__init__"): p for name, p in MODULES.items() if "__init__" in name}


def public_names(path: Path) -> set[str]:
    """Functions and classes that a module defines for others."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and node.name[0] != "_"}


def test_the_tree_is_seen_whole() -> None:
    for name in ("offline_trader.cli", "offline_trader.learning.d3rlpy", "offline_trader.datasets"):
        assert name in PACKAGES


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_package_shows_what_it_offers(name: str) -> None:
    package = importlib.import_module(name)
    assert isinstance(package.__all__, list)
    for offered in package.__all__:
        assert getattr(package, offered) is not None, f"{name}.{offered}"
        assert f"{name}.{offered}.__init__" not in MODULES, f"{name}.{offered} is a module, too"
        assert f"{name}.{offered}" not in MODULES, f"{name}.{offered} is a module, too"


def test_no_module_has_the_name_of_what_it_defines() -> None:
    commands = "offline_trader.cli."  # where a file is a command and nothing is imported by name
    doubled = [
        name
        for name, path in MODULES.items()
        if not name.startswith(commands) and name.rpartition(".")[2] in public_names(path)
    ]
    assert doubled == [], "importing the package gives the module where the function is meant"


def test_only_one_room_touches_what_d3rlpy_keeps_to_itself() -> None:
    room = "offline_trader.learning.d3rlpy."
    touching = [
        name
        for name, path in MODULES.items()
        if not name.startswith(room) and re.search(r"\.impl\b", path.read_text(encoding="utf-8"))
    ]
    assert touching == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    script = ROOT.parent / "scripts" / "structure.py"
    spec = importlib.util.spec_from_file_location("structure", script)
    assert spec is not None
    assert spec.loader is not None
    structure = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(structure)
    trees = structure.modules(ROOT.parent)
    arrows = {
        name: {each for each in structure.imports(tree, trees) if each not in ("", name)}
        for name, tree in trees.items()
    }
    assert structure.circles(defaultdict(set, arrows)) == []
    looped = defaultdict(set, {"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert structure.circles(looped) == [["a", "b", "c"]]
