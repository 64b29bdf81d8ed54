"""A lock excludes processes and threads, dies with its owner, and says who that is."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from offline_trader.errors import ConfigError
from offline_trader.locks import locked

_HOLD = (
    "import sys, time, pathlib\n"
    "from offline_trader.locks import locked\n"
    "with locked(pathlib.Path(sys.argv[1]), 'it'):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)
_COUNT = (
    "import sys, time, pathlib\n"
    "from offline_trader.locks import locked\n"
    "lock, counter = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
    "for _ in range(50):\n"
    "    with locked(lock, 'the counter', wait_s=60):\n"
    "        value = int(counter.read_text())\n"
    "        time.sleep(0.0005)\n"
    "        counter.write_text(str(value + 1))\n"
)


def holder(lock: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_one_who_has_just_taken_it_is_given_a_moment_to_say_so(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with locked(lock, "it"):
        note = lock.with_name(".lock.owner")
        written = note.read_bytes()
        note.unlink()
        late = threading.Timer(0.05, note.write_bytes, (written,))
        late.start()
        with (
            pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"),
            locked(lock, "it"),
        ):
            pass
        late.join()


def test_another_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / ".lock"
    process = holder(lock)
    try:
        begun = time.monotonic()
        with pytest.raises(ConfigError, match="in use") as refused, locked(lock, "run runs/a"):
            pass
        assert time.monotonic() - begun < 5
        message = str(refused.value)
        assert message.startswith(
            f"run runs/a is in use by process {process.pid} on {socket.gethostname()} since 20"
        )
    finally:
        process.kill()
        process.wait()


def test_a_killed_owner_leaves_nothing_that_blocks(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    for _ in range(3):
        process = holder(lock)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked(lock, "it"):
            assert str(os.getpid()) in (tmp_path / ".lock.owner").read_text()
        assert not (tmp_path / ".lock.owner").exists()


def test_no_update_is_lost_between_processes(tmp_path: Path) -> None:
    lock, counter = tmp_path / ".lock", tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", _COUNT, str(lock), str(counter)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert counter.read_text() == "150"


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    lock, barrier = tmp_path / ".lock", threading.Barrier(8)
    entered: list[int] = []
    refused: list[int] = []
    done = threading.Event()

    def attempt(number: int) -> None:
        barrier.wait()
        try:
            with locked(lock, "it"):
                entered.append(number)
                done.wait(30)
        except ConfigError:
            refused.append(number)
            if len(refused) == 7:
                done.set()

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(entered), len(refused)) == (1, 7)


def test_an_error_in_the_block_releases(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with pytest.raises(KeyboardInterrupt), locked(lock, "it"):
        raise KeyboardInterrupt
    with locked(lock, "it"), locked(tmp_path / ".other", "another"):
        pass


@pytest.mark.parametrize("note", ["", "[1]", "{", '{"pid": 1}', "[" * 100_000, "\ud800"])
def test_a_damaged_note_is_no_error(tmp_path: Path, note: str) -> None:
    lock = tmp_path / ".lock"
    with locked(lock, "it"):
        (tmp_path / ".lock.owner").write_bytes(note.encode("utf-8", "surrogatepass"))
        with (
            pytest.raises(ConfigError, match="it is in use by another process"),
            locked(lock, "it"),
        ):
            pass


def test_without_locks_in_the_file_system_a_marker_stands_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead owner's marker is taken over, a living one's is not."""
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    lock, marker = tmp_path / ".lock", tmp_path / ".lock.marker"
    with locked(lock, "it"):
        living = marker.read_text()
        with pytest.raises(ConfigError, match=f"process {os.getpid()} on"), locked(lock, "it"):
            pass
    assert not marker.exists()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert str(os.getpid()) in living
    marker.write_text(f"{ended.pid}\n{socket.gethostname()}\n")
    with locked(lock, "it", wait_s=10):
        assert str(os.getpid()) in marker.read_text()


_VISIT = (
    "import sys, pathlib\n"
    "from offline_trader.errors import ConfigError\n"
    "from offline_trader.locks import locked\n"
    "lock, inside = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
    "for _ in range(300):\n"
    "    try:\n"
    "        with locked(lock, 'it'):\n"
    "            inside.mkdir()\n"  # fails where another is inside
    "            inside.rmdir()\n"
    "    except ConfigError:\n"
    "        pass\n"
    "    try:\n"
    "        lock.parent.rmdir()\n"
    "    except OSError:\n"
    "        pass\n"
)


def test_nothing_is_left_and_leaving_lets_no_two_in(tmp_path: Path) -> None:
    """Owners remove lock and folder while others come: still one at a time, and no litter."""
    lock = tmp_path / "folder" / ".lock"
    command = [sys.executable, "-c", _VISIT, str(lock), str(tmp_path / "inside")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []
