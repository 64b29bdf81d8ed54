"""Linux, macOS and Windows by construction: no call that one of them lacks, links that may be
text files, sources with the documents."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKED = ("datasets", "experts", "cli", "evaluation")
LINUX_ONLY = {
    *("os.fork", "os.forkpty", "os.getuid", "os.geteuid", "os.uname", "os.killpg", "os.setsid"),
    *("os.mkfifo", "os.getpgid", "os.posix_fadvise", "os.posix_fallocate", "os.sched_setaffinity"),
    *("os.sched_getaffinity", "signal.SIGKILL", "signal.SIGALRM", "signal.SIGHUP", "signal.alarm"),
    *("signal.pthread_kill", "signal.setitimer", "time.clock_gettime", "os.symlink", "os.link"),
}
ABSENT_MODULES = {"fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "crypt", "syslog"}
ASKED_FIRST = {("asked.py", "os.sched_getaffinity")}
"""Used only where ``hasattr`` found it."""


def sources() -> list[Path]:
    tops = [ROOT / "offline_trader", *(ROOT / name for name in LINKED)]
    return sorted({file.resolve() for top in tops for file in top.rglob("*.py")})


def called_by_name(tree: ast.AST) -> set[str]:
    """``module.name`` of every attribute of a plain name."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_no_module_uses_what_another_system_lacks() -> None:
    files = sources()
    assert len(files) > 200
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        used = {name for name in called_by_name(tree) if (file.name, name) not in ASKED_FIRST}
        assert not used & LINUX_ONLY, f"{file}: {used & LINUX_ONLY}"
        assert not imported(tree) & ABSENT_MODULES, f"{file}: {imported(tree) & ABSENT_MODULES}"
        forked = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value == "fork"
        ]
        assert not forked, f"{file}: processes that are forked share threads and locks"


def test_text_is_read_and_written_in_one_encoding_everywhere() -> None:
    """Windows has another one by default."""
    positional = {"read_text": 1, "write_text": 2}
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            told = any(keyword.arg == "encoding" for keyword in node.keywords)
            where = f"{file}:{node.lineno}"
            if name in positional:
                assert told or len(node.args) >= positional[name], where
            elif name == "open" and isinstance(node.func, ast.Name):
                assert told or "b" in ast.unparse(node), where


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as a system without links checks them out: a text file in each one's place."""
    tree = tmp_path_factory.mktemp("checkout") / "offline-trader"
    ignored = shutil.ignore_patterns("__pycache__", "*.nb?", "*.egg-info", *LINKED)
    shutil.copytree(ROOT / "offline_trader", tree / "offline_trader", ignore=ignored)
    for name in LINKED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        (tree / "offline_trader" / name).write_text(f"../{name}", encoding="utf-8")
    for name in ("docs", "examples", "scripts"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tree / name)
    return tree


def built(tree: Path, hook: str, folder: Path) -> Path:
    """What setuptools' build hook makes of ``tree``."""
    folder.mkdir()
    code = f"import setuptools.build_meta as b; b.{hook}({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.iterdir()
    return file


def test_sources_hold_documents_and_examples_and_no_links_are_needed(
    checkout: Path, tmp_path: Path
) -> None:
    with tarfile.open(built(checkout, "build_sdist", tmp_path / "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {file.relative_to(ROOT).as_posix() for file in (ROOT / "docs").rglob("*.md")}
    wanted |= {file.relative_to(ROOT).as_posix() for file in (ROOT / "examples").glob("*.py")}
    assert wanted | {"CHANGELOG.md", "scripts/check"} <= names
    assert {"cli/main.py", "evaluation/report/page.html"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_an_editable_installation_needs_no_links(checkout: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(built(checkout, "build_editable", tmp_path / "editable")) as archive:
        archive.extractall(site)
    (installed,) = {path for path in sys.path if path.endswith("site-packages")}
    script = f"""
        import site, sys
        site.addsitedir({str(site)!r})
        sys.path.append({installed!r})  # without the links to the repository that lie there
        from offline_trader.cli import main
        from offline_trader.evaluation.gates import load_gates
        print(main.__file__, len(load_gates().gates))
    """
    for folder in (checkout, tmp_path):  # the package's own folder is found first in its checkout
        done = subprocess.run(
            [sys.executable, "-S", "-c", textwrap.dedent(script)],
            cwd=folder,
            env={"PATH": "", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        file, gates = done.stdout.split()
        assert Path(file).resolve() == (checkout / "cli" / "main.py").resolve()
        assert int(gates) >= 20
