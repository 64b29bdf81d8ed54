"""What lands in site-packages: every package of the tree, under one name, from wheel and sdist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("datasets", "experts", "cli", "evaluation")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def packages_of_the_tree() -> set[str]:
    found = set()
    for top in ("offline_trader", *FOLDERS):
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            # rglob of Python 3.13 may follow the four links: their files are found once.
            if top == "offline_trader" and len(parts) > 1 and parts[1] in FOLDERS:
                continue
            found.add(".".join(parts if top == "offline_trader" else ("offline_trader", *parts)))
    return found


def test_every_package_of_the_tree_is_listed() -> None:
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages_of_the_tree())


def test_every_folder_with_modules_is_a_package() -> None:
    for top in ("offline_trader", *FOLDERS):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} lacks __init__.py"


def test_the_four_folders_are_mapped_for_building_and_linked_for_tools() -> None:
    expected = {"offline_trader": "offline_trader"}
    expected |= {f"offline_trader.{name}": name for name in FOLDERS}
    assert SETUPTOOLS["package-dir"] == expected
    for name in FOLDERS:
        link = ROOT / "offline_trader" / name
        # a system without links checks out a text file in its place
        led = link.readlink() if link.is_symlink() else Path(link.read_text(encoding="utf-8"))
        assert led == Path("..") / name


def source_files() -> set[str]:
    """Modules that a wheel must hold, as paths inside it."""
    names = set()
    for top in ("offline_trader", *FOLDERS):
        for module in (ROOT / top).rglob("*.py"):
            parts = module.relative_to(ROOT).parts
            if top == "offline_trader" and parts[1] in FOLDERS:
                continue
            names.add("/".join(parts if top == "offline_trader" else ("offline_trader", *parts)))
    return names


def build(tree: Path, kind: str, out: Path) -> Path:
    """Build ``kind`` (wheel or sdist) of ``tree`` with the setuptools that is installed."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "-o", str(out)]
    done = subprocess.run([*command, str(tree)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing in the repository."""
    copy = tmp_path_factory.mktemp("tree") / "offline-trader"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.nb?")
    for name in ("offline_trader", *FOLDERS):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


def files_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module_and_nothing_beside_the_package(wheel: Path) -> None:
    names = files_in(wheel)
    assert {n for n in names if n.endswith(".py")} == source_files()
    assert "offline_trader/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2
    assert tops - {"offline_trader"} == {
        f"offline_trader-{PROJECT['project']['version']}.dist-info"
    }


def test_the_wheel_holds_every_data_file_of_the_packages(wheel: Path) -> None:
    data = {
        "/".join(("offline_trader", *file.relative_to(ROOT).parts))
        for name in FOLDERS
        for file in (ROOT / name).rglob("*")
        if file.suffix in {".yaml", ".html", ".css", ".js", ".json"}
    }
    assert data <= files_in(wheel)


def test_everything_imports_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    installed = {p.name for p in target.iterdir() if p.name != "bin"}
    assert installed == {
        "offline_trader",
        f"offline_trader-{PROJECT['project']['version']}.dist-info",
    }
    script = (
        "import importlib, pathlib, sys\n"
        f"target = pathlib.Path({str(target)!r})\n"
        "sys.path.insert(0, str(target))\n"
        "names = [str(f.relative_to(target).with_suffix('')).replace('/', '.')\n"
        "         for f in sorted((target / 'offline_trader').rglob('*.py'))]\n"
        "names = [n.removesuffix('.__init__') for n in names if not n.endswith('__main__')]\n"
        "for name in names:\n"
        "    file = pathlib.Path(importlib.import_module(name).__file__)\n"
        "    assert target in file.parents, (name, file)\n"
        "print(len(names))\n"
        "importlib.import_module('offline_trader.cli.main').main(['experts', '--json'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, _, listed = done.stdout.partition("\n")
    assert int(count) == len(source_files())
    assert len(json.loads(listed)["experts"]) >= 9


def test_the_wheel_announces_its_command_and_its_environments(wheel: Path) -> None:
    (name,) = (n for n in files_in(wheel) if n.endswith("entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(name).decode()
    assert "offline-trader = offline_trader.cli.main:main" in text
    assert "[gymnasium.envs]" in text


def test_the_sdist_builds_the_same_wheel(tree: Path, wheel: Path, tmp_path: Path) -> None:
    sdist = build(tree, "sdist", tmp_path / "sdist")
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    again = build(folder, "wheel", tmp_path / "again")
    assert files_in(again) == files_in(wheel)


def test_the_lock_names_versions_and_no_address() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", pin) for pin in pins)
    assert "torch==2.13.0" in pins
    assert not any(re.match(r"offline[-_.]trader==", pin) for pin in pins)


def test_the_lock_pins_every_direct_dependency() -> None:
    def canonical(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [
        *PROJECT["project"]["dependencies"],
        *extras["dev"],
        *extras["docs"],
        *extras["serve"],
        *extras["bench"],
        *extras["ray"],
    ]
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = {canonical(line.partition("==")[0]) for line in lines if "==" in line}
    names = {canonical(re.split(r"[\[<>=~! ]", item)[0]) for item in wanted}
    assert names <= pinned


HEAVY = ("torch", "d3rlpy", "imitation", "pandas", "numba", "matplotlib", "onnxruntime", "minari")


@pytest.mark.parametrize(
    "statement",
    [
        "import offline_trader",
        "from offline_trader.cli.main import main; main(['--help'])",
        "from offline_trader.cli.main import main; main(['--version'])",
        "import offline_trader.config.loading, offline_trader.runs.run",
    ],
)
def test_cheap_commands_load_nothing_heavy(statement: str) -> None:
    script = (
        "import sys\n"
        "try:\n"
        f"    exec({statement!r})\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"
