"""The second back-end: a Ray cluster gives the bytes of local processes, whatever is lost of it."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main
from offline_trader.errors import ConfigError, DataError, OfflineTraderError
from offline_trader.workers import Pool, asked, read_workers, run_jobs

# Imported by a bare name, because new processes inherit sys.path and not pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))
JOBS: Any = importlib.import_module("worker_jobs")
sys.path.pop(0)

EIGHT_WINDOWS = (
    *("windows.train_bars=700", "windows.validation_bars=200", "windows.test_bars=470"),
    *("transitions=1000", "clone.updates=20", "direct.updates=4", "direct.windows=8"),
    *("direct.bars=8", "offline.updates=20", "offline.critic_updates=10", "learner.hidden=16,16"),
    "finetune=false",
)
STORE_BYTES = 80 << 20
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _importable_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize(
    ("text", "meant"),
    [("3", 3), (2, 2), ("ray", "ray"), ("ray://a.b:10001", "ray://a.b:10001"), ("h:1", "h:1")],
)
def test_numbers_and_clusters_are_told_apart(
    text: str | int, meant: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "find_spec", lambda name: object())
    assert read_workers(text) == meant


@pytest.mark.parametrize(
    "text", ["0", "-2", "two", "ray:", "ray://host", "1.5", "", "h:0", "ray://h:65536"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="1 or more, ray"):
        read_workers(text)


def test_a_cluster_without_ray_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asked, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        main(["walk-forward", "--market", "sp500", "--workers", "ray", "--run", "walk"])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert "Ray is not installed" in told
    assert "offline-trader[ray]" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["walk-forward", "collect", "power"])
def test_a_cluster_that_does_not_answer_is_refused_before_anything_is_written(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So the command can be given again with another address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setattr(asked, "find_spec", lambda name: object())
    address = f"ray://127.0.0.1:{_free_port()}"
    with pytest.raises(SystemExit) as stop:
        main([command, "--market", "sp500", "--workers", address])
    assert stop.value.code == 2
    assert f"--workers {address}: no Ray cluster can be joined there" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


class TwoNodes:
    """Two raylets of one core each on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster  # type: ignore[import-untyped,unused-ignore]

        node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
        self._cluster = Cluster(
            initialize_head=True, head_node_args={**node, "include_dashboard": False}
        )
        self._second = self._cluster.add_node(**node)
        self.address: str = self._cluster.address

    def kill_one(self) -> None:
        """As a machine that loses power: its raylet is killed."""
        (raylet,) = self._second.all_processes["raylet"]
        raylet.process.kill()

    def close(self) -> None:
        """End all that was started."""
        self._cluster.shutdown()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    pytest.importorskip("ray", reason="needs the extra: pip install 'offline-trader[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    found = TwoNodes()
    yield found
    found.close()


@pytest.mark.slow
def test_results_errors_and_interruptions_come_home_from_a_cluster(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    waiting: Iterator[Any] = iter([JOBS.Doubling(number) for number in range(6)])
    told: dict[int, Any] = {}
    with Pool[Any](nodes.address, one_thread=True, folder=tmp_path) as pool:
        assert pool.workers == 2
        pool.run(
            lambda: next(waiting, None), on_done=lambda job, found: told.update({job.number: found})
        )
    assert {number: found[0] for number, found in told.items()} == {n: 2 * n for n in range(6)}
    assert os.getpid() not in {process for _, process, _ in told.values()}
    assert {threads for _, _, threads in told.values()} == {"1"}
    seen: list[tuple[int, float]] = []
    with pytest.raises(DataError) as caught:
        run_jobs([JOBS.Refusing()], nodes.address, lambda *each: seen.append(each))
    assert (caught.value.found, caught.value.hint) == ("no rows", "collect first")
    assert seen == [(0, 0.5)]
    with pytest.raises(OfflineTraderError, match="ended by itself with code -9"):
        run_jobs([JOBS.Killed()], nodes.address, lambda *_: None)
    notes = tmp_path / "notes"

    def refuse(*_: object) -> None:
        raise DataError("enough")

    with pytest.raises(DataError, match="enough"):
        run_jobs([JOBS.Orderly(notes)], nodes.address, refuse)
    assert notes.read_text() == "put in order"
    assert [each.name for each in tmp_path.iterdir()] == ["notes"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Addresses of a cluster that `ray start` made: its client server's, and its own."""
    pytest.importorskip("ray", reason="needs the extra: pip install 'offline-trader[ray]'")
    pytest.importorskip("grpc", reason="needs the extra: pip install 'offline-trader[ray]'")
    own, client = _free_port(), _free_port()
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *(f"--port={own}", f"--ray-client-server-port={client}", "--node-ip-address=127.0.0.1"),
        *("--num-cpus=2", f"--object-store-memory={STORE_BYTES}", "--include-dashboard=false"),
        "--disable-usage-stats",
    ]
    home = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    said = tmp_path / "ray.log"
    with said.open("wb") as log:
        head = subprocess.Popen(
            command, env={**os.environ, **home}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        until = time.monotonic() + 60.0
        while not _answers(client):
            assert head.poll() is None, said.read_text()
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.2)
        yield f"ray://127.0.0.1:{client}", f"127.0.0.1:{own}"
    finally:
        head.terminate()
        head.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_a_cluster_that_is_there_is_joined_from_outside_and_from_within(
    started: tuple[str, str], tmp_path: Path
) -> None:
    for address in started:
        left = list(range(4))
        told: dict[int, Any] = {}

        def take(left: list[int] = left) -> Any:
            return JOBS.Doubling(left.pop()) if left else None

        def done(job: Any, found: Any, told: dict[int, Any] = told) -> None:
            told[job.number] = found[0]

        with Pool[Any](address, one_thread=True, folder=tmp_path / "work") as pool:
            assert pool.workers == 2
            pool.run(take, on_done=done)
        assert told == {n: 2 * n for n in range(4)}
        with pytest.raises(DataError, match="no rows"):
            run_jobs([JOBS.Refusing()], address, lambda *_: None)


@pytest.mark.slow
def test_a_walk_on_two_nodes_of_which_one_is_killed_has_the_bytes_of_local_processes(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    local, spread = tmp_path / "local", tmp_path / "spread"
    assert _walk(tmp_path, local, "2").wait() == 0
    with _walk(tmp_path, spread, nodes.address) as walk:
        while walk.poll() is None and not (spread / "fold-003").is_dir():
            time.sleep(0.05)
        assert walk.poll() is None, "the node is to be killed while the walk is under way"
        nodes.kill_one()
        assert walk.wait() == 0
    assert _kept(spread) == _kept(local)
    assert sum(name.endswith("result.json") for name in _kept(local)) == 8


def _walk(home: Path, folder: Path, workers: str) -> subprocess.Popen[bytes]:
    settings = [part for setting in EIGHT_WINDOWS for part in ("--set", setting)]
    code = "from offline_trader.cli.main import main; main()"
    words = ["walk-forward", "--market", "sp500", "--run", str(folder), "--workers", workers]
    command: Sequence[str] = [sys.executable, "-c", code, *words, *settings, "--quiet"]
    return subprocess.Popen(command, cwd=home)


def _kept(folder: Path) -> dict[str, bytes]:
    """What a walk is for: results and policies, whole."""
    names = ("walk_forward.json", "result.json", "policy.d3")
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.name in names
    }
