"""One batch for many inputs: order, resuming after every end, bad inputs, processes, shards."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.batches import LOG, Copier, batch_of, no_model, worked_on
from rich.console import Console

from facemorph import console
from facemorph.errors import DataError, Interrupted, OutputError
from facemorph.jobs.batch import key_of, run, stamp_of
from facemorph.jobs.records import Records

PROCESS = "from helpers.batches import main; main()"


def statuses(report):
    return {row["name"]: row["status"] for row in report["rows"]}


# ------------------------------------------------------------
# rows and order
def test_inputs_are_done_in_order_and_once(tmp_path):
    report = run(batch_of(tmp_path, ["b", "a", "c"]))
    assert report["counts"] == {"done": 3, "failed": 0, "missing": 0}
    assert worked_on(tmp_path) == ["b", "a", "c"]
    assert run(batch_of(tmp_path, ["b", "a", "c", "d"]))["counts"]["done"] == 4
    assert worked_on(tmp_path) == ["d"]
    assert json.loads((tmp_path / "report.json").read_text())["counts"]["done"] == 4


def test_a_row_says_what_became_of_an_input(tmp_path):
    report = run(batch_of(tmp_path, ["a", "bad", "bug"]))
    done, failed, bug = report["rows"]
    assert done["files"] == ["a.txt"]
    assert done["seconds"] >= 0
    assert (failed["status"], failed["error"]) == ("failed", "DataError")
    assert failed["reason"] == str(DataError("no good", where="bad"))
    assert "traceback" not in failed
    assert (bug["status"], bug["error"]) == ("failed", "ZeroDivisionError")
    assert bug["reason"] == "a bug of facemorph: oops"
    assert "in copy" in bug["traceback"]


def test_what_failed_is_tried_again(tmp_path):
    run(batch_of(tmp_path, ["bad", "a"]))
    worked_on(tmp_path)
    run(batch_of(tmp_path, ["bad", "a"]))
    assert worked_on(tmp_path) == ["bad"]


def test_what_is_gone_is_made_again_and_all_if_asked(tmp_path):
    run(batch_of(tmp_path, ["a", "b"]))
    (tmp_path / "b.txt").unlink()
    worked_on(tmp_path)
    run(batch_of(tmp_path, ["a", "b"]))
    assert worked_on(tmp_path) == ["b"]
    run(batch_of(tmp_path, ["a", "b"], again=True))
    assert worked_on(tmp_path) == ["a", "b"]


def test_an_input_with_another_content_is_done_again(tmp_path):
    inputs, output = tmp_path / "in", tmp_path / "out"
    for folder in (inputs, output):
        folder.mkdir()
    for name in ("a", "b"):
        (inputs / name).write_text(name)
    run(batch_of(output, ["a", "b"], inputs=inputs))
    worked_on(output)
    (inputs / "a").write_text("another")
    report = run(batch_of(output, ["a", "b"], inputs=inputs))
    assert worked_on(output) == ["a"]
    assert report["counts"]["done"] == 2
    (inputs / "b").unlink()  # what it was is not there any more either
    run(batch_of(output, ["a", "b"], inputs=inputs))
    assert worked_on(output) == ["b"]


def test_rows_of_older_versions_without_a_stamp_still_hold(tmp_path):
    records = Records(tmp_path)
    with records.only_writer():
        records.append({"name": "a", "status": "done", "files": ["a.txt"]})
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "in").mkdir()
    run(batch_of(tmp_path, ["a", "b"], inputs=tmp_path / "in"))
    assert worked_on(tmp_path) == ["b"]


def test_other_settings_are_refused(tmp_path):
    run(batch_of(tmp_path, ["a"], settings={"size": 1}))
    with pytest.raises(DataError, match="other settings"):
        run(batch_of(tmp_path, ["b"], settings={"size": 2}))
    assert worked_on(tmp_path) == ["a"]


def test_a_full_disk_stops_everything_and_is_reported(tmp_path):
    with pytest.raises(OutputError, match="disk is full"):
        run(batch_of(tmp_path, ["a", "full", "b"]))
    assert worked_on(tmp_path) == ["a", "full"]
    assert statuses(json.loads((tmp_path / "report.json").read_text())) == {
        "a": "done",
        "full": "missing",
        "b": "missing",
    }


def test_the_error_of_a_lone_input_is_raised_where_wanted(tmp_path):
    with pytest.raises(DataError, match="no good"):
        run(batch_of(tmp_path, ["bad"], raise_error=True))


def test_warnings_are_noted_where_wanted(tmp_path, caplog):
    row = run(batch_of(tmp_path, ["warn"], quiet=True))["rows"][0]
    assert row["warnings"] == ["careful with warn"]
    assert not caplog.records
    row = run(batch_of(tmp_path, ["warn"], again=True))["rows"][0]
    assert "warnings" not in row
    assert [record.getMessage() for record in caplog.records] == ["careful with warn"]


# ------------------------------------------------------------
# inputs that belong together
def test_joined_inputs_are_one_piece_of_work(tmp_path):
    calls = []
    options = {"joined": ["a", "b"], "together": lambda worker, tasks: calls.append(list(tasks))}
    run(batch_of(tmp_path, ["c", "a", "b"], **options))
    assert calls == [["a", "b"], ["c"]]
    (tmp_path / "b.txt").unlink()
    worked_on(tmp_path)
    run(batch_of(tmp_path, ["c", "a", "b"], **options))
    assert worked_on(tmp_path) == ["a", "b"]


def test_what_fails_together_fails_for_each(tmp_path):
    def together(worker, tasks):
        raise DataError("nobody's face")

    report = run(batch_of(tmp_path, ["a", "b"], joined=["a", "b"], together=together))
    assert statuses(report) == {"a": "failed", "b": "failed"}
    assert worked_on(tmp_path) == []


# ------------------------------------------------------------
# processes and shards
@pytest.mark.slow
def test_two_processes_do_the_same_as_one(tmp_path):
    names = ["a", "b", "bad", "c", "bug", "d"]
    reports = []
    for workers in (1, 2):
        output = tmp_path / str(workers)
        output.mkdir()
        reports.append(run(batch_of(output, names, workers=workers)))
        assert sorted(worked_on(output)) == sorted(names)
    assert statuses(reports[0]) == statuses(reports[1])
    assert {row["number"] for row in reports[1]["rows"] if "number" in row} <= {0, 1}
    for name in "abcd":
        assert (tmp_path / "1" / f"{name}.txt").read_bytes() == (
            tmp_path / "2" / f"{name}.txt"
        ).read_bytes()


def test_a_full_disk_of_a_process_stops_everything(tmp_path, monkeypatch):
    names = ["full", *(f"wait{number}" for number in range(40))]
    shutdown = ProcessPoolExecutor.shutdown

    def ended(self, wait, cancel_futures):
        manager = self._executor_manager_thread
        shutdown(self, wait=False, cancel_futures=cancel_futures)
        (tmp_path / "go").touch()  # from here on what is begun may end
        manager.join()

    monkeypatch.setattr(ProcessPoolExecutor, "shutdown", ended)
    with pytest.raises(OutputError, match="disk is full"):
        run(batch_of(tmp_path, names, workers=2))
    assert len(worked_on(tmp_path)) < len(names)
    assert (tmp_path / "report.json").is_file()


def test_what_cannot_start_says_so_from_a_process_too(tmp_path):
    for workers in (1, 2):
        with pytest.raises(DataError, match="no such model"):
            run(replace(batch_of(tmp_path, ["a", "b"], workers=workers), start=no_model))


def test_shards_share_a_folder_and_the_last_one_reports_all(tmp_path):
    names = list("abcde")
    first = run(batch_of(tmp_path, names, tasks=names[0::2], shard=(0, 2), settings={}))
    assert first["counts"] == {"done": 3, "failed": 0, "missing": 2}
    assert worked_on(tmp_path) == ["a", "c", "e"]
    second = run(batch_of(tmp_path, names, tasks=names[1::2], shard=(1, 2), settings={}))
    assert second["counts"] == {"done": 5, "failed": 0, "missing": 0}
    assert worked_on(tmp_path) == ["b", "d"]


def test_two_processes_never_work_in_one_folder(tmp_path):
    with Records(tmp_path).only_writer(), pytest.raises(OutputError, match="another process"):
        run(batch_of(tmp_path, ["a"]))
    assert worked_on(tmp_path) == []


# ------------------------------------------------------------
# every kind of end
def started(folder, workers, *names):
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), str(workers), *names],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process=None):
    limit = time.monotonic() + 600
    while not condition():
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


def alive(process):
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter when it goes meanwhile
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_with_what_is_missing(tmp_path, workers):
    names = ["a", "b", "c", "wait", "d"]
    process = started(tmp_path, workers, *names)
    try:
        wait_for(lambda: any(line.startswith("wait") for line in lines_of(tmp_path / LOG)), process)
        wait_for(lambda: len(lines_of(tmp_path / "records.0-of-1.jsonl")) >= 3, process)
    finally:
        process.kill()  # SIGKILL: nothing can be tidied up
        process.communicate()
    pids = {int(line.split()[1]) for line in lines_of(tmp_path / LOG)}
    wait_for(lambda: not any(map(alive, pids)))  # no orphan works on
    known = [json.loads(line)["name"] for line in lines_of(tmp_path / "records.0-of-1.jsonl")]
    assert {"a", "b", "c"} <= set(known)
    assert "wait" not in known
    assert not (tmp_path / "wait.txt").exists()
    (tmp_path / "go").touch()
    worked_on(tmp_path)
    report = run(batch_of(tmp_path, names, settings={"size": 1}))
    assert report["counts"]["done"] == 5
    assert worked_on(tmp_path) == [name for name in names if name not in known]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_finishes_what_is_begun_and_reports(tmp_path, workers, number):
    names = ["wait1", *(f"n{index}" for index in range(30)), "wait2"]
    process = started(tmp_path, workers, *names)
    try:
        wait_for(
            lambda: any(line.startswith("wait1") for line in lines_of(tmp_path / LOG)), process
        )
        process.send_signal(number)
        said = iter(process.stderr.readline, "")  # on a busy machine first how far it is
        assert any("stopping after what is begun" in line for line in said)
        (tmp_path / "go").touch()
        _, errors = process.communicate(timeout=900)
    finally:
        process.kill()
    assert "Interrupted" in errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert statuses(report)["wait1"] == "done"
    assert report["counts"]["failed"] == 0
    assert run(batch_of(tmp_path, names, settings={"size": 1}))["counts"]["missing"] == 0


def test_a_signal_says_that_the_same_command_continues(tmp_path, monkeypatch):
    real = Copier.copy

    def copy(self, name):
        signal.raise_signal(signal.SIGTERM)
        return real(self, name)

    monkeypatch.setattr(Copier, "copy", copy)
    with pytest.raises(Interrupted, match="same command continues") as caught:
        run(batch_of(tmp_path, ["a", "b"]))
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert worked_on(tmp_path) == ["a"]
    assert statuses(json.loads((tmp_path / "report.json").read_text()))["b"] == "missing"


def test_without_a_report_of_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr(Copier, "copy", lambda self, name: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        run(batch_of(tmp_path, ["a", "b"], report_if_stopped=False))
    assert not (tmp_path / "report.json").exists()


def test_an_error_of_the_keyboard_reports_too(tmp_path, monkeypatch):
    def copy(self, name):
        raise KeyboardInterrupt

    monkeypatch.setattr(Copier, "copy", copy)
    with pytest.raises(KeyboardInterrupt):
        run(batch_of(tmp_path, ["a"]))
    assert statuses(json.loads((tmp_path / "report.json").read_text())) == {"a": "missing"}


# ------------------------------------------------------------
# what is shown
def test_the_time_left_is_said_in_plain_lines(tmp_path, monkeypatch):
    said, now = io.StringIO(), iter(range(0, 10_000, 20))
    monkeypatch.setattr(console, "err", Console(file=said, width=200))
    monkeypatch.setattr("facemorph.console.time.monotonic", lambda: float(next(now)))
    run(batch_of(tmp_path, ["a", "b", "c"]))
    lines = said.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("names: 1/3 after 40 s, about 80 s left")


def test_stamps_and_keys_change_with_what_they_are_of(tmp_path):
    file = tmp_path / "a"
    assert stamp_of(file, None) == "-, -"
    file.write_text("1")
    first = stamp_of(file)
    os.utime(file, ns=(0, 0))
    assert stamp_of(file) == "1 0" != first
    assert key_of({"a": 1}) == key_of({"a": 1}) != key_of({"a": 2})


def test_plumbing_loads_no_torch():
    code = (
        "import sys, facemorph.jobs.batch, facemorph.jobs.pool, facemorph.jobs.records; "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.call([sys.executable, "-c", code], env=environment) == 0
