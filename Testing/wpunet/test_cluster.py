"""Many CTs on a real cluster of two workers, of which one is killed in the middle: every case is there once, whole."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nibabel as nib
import pytest
from wpunet import cli

from Testing.wpunet import patient

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
CASES = 12
WORKER = """
import os, sys, time
sys.path[:0] = [{root!r}, {engine!r}]
from wpunet import cluster
from Testing.wpunet.patient import StandIn

class Slow(StandIn):
    def segment(self, volume, options, monitor):
        open({log!r} + "/" + str(os.getpid()) + "_" + volume.name, "w").close()
        time.sleep(0.3)
        return super().segment(volume, options, monitor)

cluster._segmenter = lambda _: Slow()

def dask_setup(worker):
    pass
"""

WAIT = """
import sys
from distributed import Client
with Client(sys.argv[1], timeout=60) as client:
    client.wait_for_workers(2, timeout=60)
"""  # in a process of its own: the command line's client is the first of its process, as it always is


@pytest.fixture
def scheduler(tmp_path):
    """The address of a scheduler with two workers that have the stand-in's engine, and their processes."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'WPUNetSegment'}", "OMP_NUM_THREADS": "1"}
    log, file = tmp_path / "log", tmp_path / "address.json"
    log.mkdir()
    preload = tmp_path / "preload.py"
    preload.write_text(WORKER.format(root=str(ROOT), engine=str(ROOT / "WPUNetSegment"), log=str(log)), "utf-8")
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    commands = [[*dask, "--no-dashboard", "--scheduler-file", str(file)]]
    commands += 2 * [[*worker, "--scheduler-file", str(file), "--preload", str(preload)]]
    with (tmp_path / "dask.log").open("w") as told:
        processes = [subprocess.Popen(command, env=environment, stdout=told, stderr=told) for command in commands]
        try:
            deadline = time.monotonic() + 60
            while not (file.exists() and file.stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.1)
            address = json.loads(file.read_text())["address"]
            subprocess.run([sys.executable, "-c", WAIT, address], env=environment, check=True)
            yield address, processes[1:], log
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_every_case_is_there_once_and_whole_when_a_worker_is_killed(
    scheduler, tmp_path, nifti_bytes, capsys, monkeypatch
):
    address, workers, log = scheduler
    cts, out = tmp_path / "cts", tmp_path / "out"
    cts.mkdir()
    for k in range(CASES):
        (cts / f"case_{k:02}.nii").write_bytes(nifti_bytes)
    (cts / "broken.nii").write_bytes(b"no CT at all")
    victim, killed = workers[0], []

    def kill():
        while len(list(log.glob(f"{victim.pid}_*"))) < 2:  # in the middle of its second case
            time.sleep(0.02)
        killed.extend(path.name.partition("_")[2] for path in log.glob(f"{victim.pid}_*"))
        os.kill(victim.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    monkeypatch.setenv("WPUNET_DEBUG", "1")  # an error of Dask's own shows where
    monkeypatch.chdir(tmp_path)  # the workers stay where they were started
    assert cli.main(["segment", cts.name, "-o", out.name, "--scheduler", address]) == 2  # one CT is broken
    thread.join(1)
    assert killed
    assert victim.wait(5) == -signal.SIGKILL
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    wanted = [f"case_{k:02}" for k in range(CASES)]
    assert sorted(rows) == sorted([*wanted, "broken"])
    assert {rows[name]["status"] for name in wanted} == {"done"}
    assert rows["broken"]["status"] == "failed"
    assert len({rows[name]["right_kidney_ml"] for name in wanted}) == 1
    endings = ("csv", "json", "nii.gz", "png")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{name}.{ending}" for name in wanted for ending in endings), "summary.csv"]
    )
    for name in wanted:
        assert nib.load(out / f"{name}.nii.gz").get_fdata().any()
        assert patient.measures(json.loads((out / f"{name}.json").read_text())).keys() >= {
            "right kidney",
            "left kidney",
        }
    survivor = {path.name.partition("_")[2] for path in log.glob(f"{workers[1].pid}_*")}
    assert killed[-1] in survivor or len(killed) == 2  # what the lost worker had begun was done again
    assert f"{CASES} done, 1 failed" in capsys.readouterr().out


def test_no_scheduler_is_told_in_one_line(tmp_path, nifti_bytes, capsys, monkeypatch):
    from wpunet import cluster

    monkeypatch.setattr(cluster, "SECONDS", 1)
    (tmp_path / "cts").mkdir()
    for name in "ab":
        (tmp_path / "cts" / f"{name}.nii").write_bytes(nifti_bytes)
    command = ["segment", str(tmp_path / "cts"), "-o", str(tmp_path / "r"), "--scheduler", "tcp://127.0.0.1:1"]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No Dask scheduler answers" in error
