"""Run directories: what is written, what a kill leaves, what resuming does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.hashing import content_sha256
from offline_trader.runs import Run, atomic_write

CONFIG = {"market": "sp500", "learner": {"gamma": 0.99}}


def make(path: Path, *, resume: bool = False, **changes: object) -> Run:
    config = {**CONFIG, **changes}
    return Run.create(path, config, command="pretrain", seed=7, data_hash="d" * 64, resume=resume)


def test_a_new_run_holds_its_config_and_manifest(tmp_path: Path) -> None:
    parent = tmp_path / "bars.csv"
    parent.write_text("a\n")
    run = Run.create(
        tmp_path / "r", CONFIG, command="pretrain", seed=7, data_hash="abc", parents=[parent]
    )
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert Run.open(run.path).config() == CONFIG
    assert manifest["seed"] == 7
    assert manifest["data_hash"] == "abc"
    assert manifest["command"] == "pretrain"
    assert manifest["status"] == "running"
    assert manifest["parents"] == [
        {"path": str(parent), "sha256": hashlib.sha256(b"a\n").hexdigest()}
    ]
    assert manifest["versions"]["python"].startswith("3.")
    assert {"torch", "d3rlpy", "numba", "offline-trader"} <= set(manifest["versions"])


def test_finish_stores_facts_and_the_status(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.finish(score=1.5)
    again = Run.open(tmp_path / "r")
    assert (again.status, again.facts) == ("done", {"score": 1.5})


def test_facts_that_json_lacks_are_stored_as_null(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.finish(score=float("-inf"), curve=(1.0, float("nan")))
    assert run.facts == Run.open(tmp_path / "r").facts == {"score": None, "curve": [1.0, None]}


def test_facts_that_are_no_json_leave_the_run_failed(tmp_path: Path) -> None:
    with pytest.raises(TypeError), make(tmp_path / "r") as run:
        run.finish(score=object())
    assert Run.open(tmp_path / "r").status == "failed"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt, "interrupted"),
        (SystemExit, "interrupted"),
        (BrokenPipeError, "interrupted"),  # of a worker whose parent was killed
        (ZeroDivisionError, "failed"),
    ],
)
def test_leaving_by_an_exception_is_recorded(
    tmp_path: Path, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), make(tmp_path / "r"):
        raise error
    assert Run.open(tmp_path / "r").status == status


def test_metrics_come_back_and_infinities_are_null(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.log(1, {"loss": 0.5})
        run.log(2, {"loss": float("inf"), "kl": float("nan")})
    rows = Run.open(tmp_path / "r").metrics()
    assert rows == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None, "kl": None}]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.log(1, {"loss": 0.5})
        with (run.path / "metrics.jsonl").open("ab") as file:
            file.write(b'{"step": 2, "lo')
    assert Run.open(tmp_path / "r").metrics() == [{"step": 1, "loss": 0.5}]


def test_tensorboard_reads_the_same_numbers(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.log(3, {"loss": 0.5})
    assert scalars(run.path, "loss") == [(3, 0.5)]


def scalars(path: Path, tag: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_a_checkpoint_is_whole_or_absent(tmp_path: Path) -> None:
    run = make(tmp_path / "r")
    run.save_checkpoint(10, lambda path: void(path.write_text("ten")))

    def breaks(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.save_checkpoint(20, breaks)
    latest = Run.open(run.path).latest_checkpoint()
    assert latest is not None
    assert (latest[0], latest[1].read_text()) == (10, "ten")
    # The next attempt is not hindered by what the first one left.
    run.save_checkpoint(20, lambda path: void(path.write_text("twenty")))
    latest = run.latest_checkpoint()
    assert latest is not None
    assert latest[1].read_text() == "twenty"


def void(_: object) -> None:
    """Turn a call with a result into one without."""


def test_a_checkpoint_may_be_a_folder_and_replaces_its_forerunner(tmp_path: Path) -> None:
    run = make(tmp_path / "r")
    for text in ("first", "second"):

        def writer(path: Path, text: str = text) -> None:
            path.mkdir()
            (path / text).write_text(text)

        final = run.save_checkpoint(5, writer)
    assert [p.name for p in final.iterdir()] == ["second"]


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    run = make(tmp_path / "r")
    for step in (1, 2, 3, 10):
        run.save_checkpoint(step, lambda path: void(path.write_text("x")), keep=2)
    names = sorted(p.name for p in (run.path / "checkpoints").iterdir())
    assert names == ["0000000003", "0000000003.json", "0000000010", "0000000010.json"]


def test_an_existing_run_is_refused_without_resume(tmp_path: Path) -> None:
    make(tmp_path / "r")
    with pytest.raises(ConfigError, match="holds a run with status 'running'"):
        make(tmp_path / "r")


def test_a_directory_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(ConfigError, match="not a run directory"):
        make(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_resume_refuses_another_config_and_names_the_setting(tmp_path: Path) -> None:
    make(tmp_path / "r")
    with pytest.raises(ConfigError, match=r"learner\.gamma was 0\.99 and is 0\.9"):
        make(tmp_path / "r", resume=True, learner={"gamma": 0.9})


def test_resume_refuses_a_changed_parent(tmp_path: Path) -> None:
    parent = tmp_path / "bars.csv"
    parent.write_text("a\n")

    def create(*, resume: bool) -> Run:
        return Run.create(
            tmp_path / "r", CONFIG, command="x", seed=0, parents=[parent], resume=resume
        )

    create(resume=False)
    assert create(resume=True).manifest["resumed"] == 1
    parent.write_text("b\n")
    with pytest.raises(ConfigError, match="another parents"):
        create(resume=True)


def test_resume_cuts_the_metrics_after_the_last_checkpoint(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.log(1, {"loss": 1.0})
        run.save_checkpoint(1, lambda path: void(path.write_text("x")))
        run.log(2, {"loss": 2.0})
    with make(tmp_path / "r", resume=True) as run:
        assert run.metrics() == [{"step": 1, "loss": 1.0}]
        run.log(2, {"loss": 2.5})
    assert run.metrics() == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.5}]
    assert scalars(run.path, "loss") == [(1, 1.0), (2, 2.5)]


def test_resume_without_a_checkpoint_starts_over(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.log(1, {"loss": 1.0})
    assert make(tmp_path / "r", resume=True).metrics() == []


def test_a_done_run_is_left_as_it_is_on_resume(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.log(1, {"loss": 1.0})
        run.finish()
    again = make(tmp_path / "r", resume=True)
    assert again.status == "done"
    assert again.metrics() == [{"step": 1, "loss": 1.0}]


def test_opening_what_is_not_a_run_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run directory"):
        Run.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="not readable"):
        Run.open(tmp_path)


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "manifest.json"
    atomic_write(target, b"old")
    script = (
        "import os, pathlib, sys\n"
        "from offline_trader import runs\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "runs.atomic_write(pathlib.Path(sys.argv[1]), b'new' * 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert done.returncode == 9
    assert target.read_bytes() == b"old"


def test_a_runs_fingerprint_ignores_clock_times(tmp_path: Path) -> None:
    prints: list[str] = []
    for name in ("a", "b"):
        with make(tmp_path / name) as run:
            run.log(1, {"loss": 1.0})
            run.save_checkpoint(1, lambda path: void(path.write_text("x")))
            run.finish(seconds=len(prints))
        prints.append(content_sha256(run.path))
    assert prints[0] == prints[1]
    (tmp_path / "b" / "checkpoints" / "0000000001").write_text("y")
    assert content_sha256(tmp_path / "b") != prints[0]


def test_the_runs_module_loads_no_torch() -> None:
    script = (
        "import sys, pathlib, tempfile\n"
        "from offline_trader.runs.run import Run\n"
        "with Run.create(pathlib.Path(tempfile.mkdtemp()) / 'r', {}, command='x', seed=0) as run:\n"
        "    run.log(1, {'a': 1.0})\n"
        "print([m for m in ('torch', 'pandas', 'numba', 'tensorflow') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_a_run_that_was_killed_while_it_began_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "run"
    (path / "checkpoints").mkdir(parents=True)
    (path / "config.yaml").write_text("seed: 1\n")
    (path / ".manifest.json.123.tmp").write_text("{")
    run = Run.create(path, {"seed": 2}, command="pretrain", seed=2, resume=True)
    assert run.config() == {"seed": 2}


@pytest.mark.parametrize("file", ["config.yaml", "checkpoints/0000000001"])
def test_a_directory_that_a_run_cannot_have_left_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine")
    with pytest.raises(ConfigError, match="not a run directory"):
        Run.create(tmp_path, {}, command="pretrain", seed=2, resume=True)
    assert (tmp_path / file).read_text() == "mine"


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_generator_takes_is_refused_before_anything_is_written(
    tmp_path: Path, seed: int
) -> None:
    with pytest.raises(ConfigError, match=f"seed = {seed}"):
        Run.create(tmp_path / "r", {}, command="pretrain", seed=seed)
    assert not (tmp_path / "r").exists()


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text("a")
    with pytest.raises(DataError, match=r"bars\.csv is not a run directory"):
        Run.open(tmp_path / "bars.csv")


@pytest.mark.parametrize("text", ["{}", "[]", '{"kind": "offline-trader export"}'])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="the manifest of a run"):
        Run.open(tmp_path)


@pytest.mark.parametrize("text", [None, "a: [", "- 1", "a: &a {b: *a}", "a: 1\na: 2"])
def test_a_lost_or_broken_config_is_refused_with_its_name(tmp_path: Path, text: str | None) -> None:
    with make(tmp_path / "r") as run:
        run.finish()
    config = tmp_path / "r" / "config.yaml"
    config.unlink()
    if text is not None:
        config.write_text(text)
    with pytest.raises(DataError, match=r"config\.yaml"):
        Run.open(tmp_path / "r").config()


def test_a_write_that_is_interrupted_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "kept.json"
    atomic_write(path, b"first")
    run = Run.create(tmp_path / "run", {}, command="pretrain", seed=0)
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, b"second")
    with pytest.raises(KeyboardInterrupt):
        run.save_checkpoint(20, lambda place: place.mkdir())
    assert path.read_bytes() == b"first"
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_an_interrupt_that_a_library_made_another_error_of_is_one(tmp_path: Path) -> None:
    error = RuntimeError("compilation failed")
    error.__cause__ = KeyboardInterrupt()
    with pytest.raises(RuntimeError), make(tmp_path / "r"):
        raise error
    assert Run.open(tmp_path / "r").status == "interrupted"


CREATE = """
import pathlib, sys, time
from offline_trader.errors import ConfigError
from offline_trader.runs.run import Run

folder, goes = pathlib.Path(sys.argv[1]), sys.argv[2] == "resume"
print("ready", flush=True)
for line in sys.stdin:
    barrier, name = line.split()
    while time.time() < float(barrier):
        pass
    try:
        with Run.create(folder / name, {}, command="x", seed=0, resume=goes) as run:
            run.log(1, {"loss": 0.5})
            time.sleep(0.05)
            run.finish()
        print("made", flush=True)
    except ConfigError as error:
        print("in use" if "is in use by" in str(error) else "there", flush=True)
"""


@pytest.mark.parametrize("mode", ["new", "resume"])
def test_of_two_processes_at_one_run_one_works(tmp_path: Path, mode: str) -> None:
    """Behind a barrier, 25 times: one makes the run, the other is told; no row is written twice."""
    words = [sys.executable, "-P", "-c", CREATE, str(tmp_path), mode]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(words, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    try:
        assert [process.stdout.readline().strip() for process in both] == ["ready"] * 2
        for turn in range(25):
            for process in both:
                process.stdin.write(f"{time.time() + 0.05} r{turn}\n")
                process.stdin.flush()
            said = sorted(process.stdout.readline().strip() for process in both)
            if mode == "new":
                assert said in (["in use", "made"], ["made", "there"]), turn
            else:  # one that comes late finds a run that is done
                assert said in (["in use", "made"], ["made", "made"]), turn
                rows = Run.open(tmp_path / f"r{turn}").metrics()
                assert len(rows) == said.count("made"), turn
            assert Run.open(tmp_path / f"r{turn}").status == "done"
            assert not list((tmp_path / f"r{turn}").glob(".lock*"))
    finally:
        for process in both:
            process.communicate()
    assert [process.returncode for process in both] == [0, 0]


def test_a_run_in_use_is_told_with_its_owner_and_a_killed_owner_blocks_nobody(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from offline_trader.runs.run import Run\n"
        "run = Run.create(pathlib.Path(sys.argv[1]), {}, command='x', seed=0)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    words = [sys.executable, "-P", "-c", code, str(tmp_path / "r")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for resume in (False, True):
            with pytest.raises(ConfigError, match=f"in use by process {process.pid} on"):
                Run.create(tmp_path / "r", {}, command="x", seed=0, resume=resume)
        assert Run.open(tmp_path / "r").status == "running"  # reading needs no lock
        process.kill()
    with Run.create(tmp_path / "r", {}, command="x", seed=0, resume=True) as run:
        run.finish()
    assert Run.open(tmp_path / "r").manifest["resumed"] == 1


def test_a_lock_is_given_back_where_a_run_is_refused(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.finish()
    with pytest.raises(ConfigError, match="add --resume"):
        make(tmp_path / "r")
    with pytest.raises(ConfigError, match="another config hash"):
        make(tmp_path / "r", resume=True, market="nasdaq")
    assert not list((tmp_path / "r").glob(".lock*"))


FULL = """
import os, pathlib, resource, signal, sys
from offline_trader.runs.run import Run, atomic_write

path, what = pathlib.Path(sys.argv[1]), sys.argv[2]
run = Run.create(path, {}, command="x", seed=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))
try:
    with run:
        if what == "checkpoint":
            run.save_checkpoint(1, lambda place: place.write_bytes(bytes(1 << 16)) and None)
        elif what == "metrics":
            for step in range(10_000):
                run.log(step, {"loss": 0.5})
        else:
            atomic_write(path / "policy.d3", bytes(1 << 16))
except OSError as error:
    print(error.filename)
"""


@pytest.mark.parametrize(
    ("what", "file"),
    [
        ("checkpoint", "checkpoints/0000000001"),
        ("metrics", "metrics.jsonl"),
        ("policy", "policy.d3"),
    ],
)
def test_a_file_that_finds_no_room_is_named_and_leaves_no_half(
    tmp_path: Path, what: str, file: str
) -> None:
    path = tmp_path / "r"
    done = subprocess.run(
        [sys.executable, "-P", "-c", FULL, str(path), what],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(path / file)
    assert Run.open(path).status == "failed"
    left = {each.name for each in path.rglob("*") if each.is_file()}
    assert {name for name in left if not name.startswith("events.")} <= {
        *("config.yaml", "manifest.json"),
        *(("metrics.jsonl",) if what == "metrics" else ()),
    }


def test_a_run_may_have_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"r\xff")
    parent = tmp_path / os.fsdecode(b"bars\xfe.csv")
    parent.write_text("a\n")
    config = {"market": str(parent)}
    words = {"command": "x", "seed": 0, "parents": [parent]}
    with Run.create(path, config, **words) as run:  # type: ignore[arg-type]
        run.log(1, {"loss": 0.5})
        run.save_checkpoint(1, lambda place: void(place.write_text("x")))
    with Run.create(path, config, resume=True, **words) as run:  # type: ignore[arg-type]
        run.finish(market=str(parent))
    found = Run.open(path)
    assert (found.status, found.facts["market"], found.config()) == ("done", str(parent), config)
    assert found.metrics() == [{"step": 1, "loss": 0.5}]
