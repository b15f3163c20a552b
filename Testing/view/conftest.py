"""A running ``wpunet view`` and a real browser."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from wpunet.labels import KIDNEY, LEFT_KIDNEY, TUMOR

from Testing import phantom
from Testing.view.visitor import Visitor

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in")
SHOTS = ROOT / "build" / "view"  # what the pages looked like, for whoever wonders why a test failed
KEEP_SECONDS, UPLOAD_MB = 8, 6  # a reload takes seconds on a busy machine
SMALL = {"seed": 3, "shape": (30, 116, 144), "spacing": (8.0, 2.8, 2.8)}  # with a tumor
HEALTHY = {"seed": 3, "shape": (28, 116, 144), "spacing": (8.0, 2.8, 2.8)}  # its truth is told without tumors
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def waited(answer):
    """What a coroutine gives; in a thread of its own, since a browser test before may have left a loop running here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, answer).result()


def require_parts(browser=True):
    """Skip where the page cannot run, naming what is missing."""
    for name in ("trame_slicer", "slicer", "aiohttp", *(["playwright"] if browser else [])):
        pytest.importorskip(name, reason=f"needs {name}: pip install -e '.[view,test]'")
    from wpunet_view import needs

    if not Path("/proc/self/stat").exists():
        pytest.skip("looks at processes through /proc, which only Linux has")
    lacking = [] if needs.can_draw() else ["libosmesa6"]
    lacking += ["chromium"] if browser and chromium() is None else []
    if lacking:
        pytest.skip(f"needs Debian packages: apt-get install {' '.join(lacking)}")


class Server:
    """``wpunet view`` as a user starts it.

    truth: a folder that ``keep_truth`` wrote, in place of the network; step: seconds of each of its 30 steps then
    gates: a folder whose files hold up what they are named after; stand_in/sitecustomize.py tells what can be
    """

    def __init__(self, *arguments, truth=None, step=0.02, gates=None):
        command = [sys.executable, "-m", "wpunet", "view", "--no-browser", *map(str, arguments)]
        environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
        if truth is not None:
            environment |= {"WPUNET_TEST_TRUTH": str(truth), "WPUNET_TEST_STEP": str(step)}
            environment["PYTHONPATH"] = os.pathsep.join((str(STAND_IN), str(ROOT / "WPUNetSegment")))
        if gates is not None:
            environment["WPUNET_TEST_GATES"] = str(gates)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.address = re.search(r"http\S+", self.process.stdout.readline()).group(0)

    def children(self, *words):
        """Ids of the living processes below the server whose command lines hold all ``words``."""
        parents, commands = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                status = (folder / "stat").read_text().rpartition(")")[2].split()
                commands[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if status[0] != "Z":
                parents[int(folder.name)] = int(status[1])

        def below(pid):
            while pid in parents and pid != self.process.pid:
                pid = parents[pid]
            return pid == self.process.pid

        return [
            pid
            for pid in parents
            if pid != self.process.pid and below(pid) and all(word in commands[pid] for word in words)
        ]

    def stop(self):
        self.process.terminate()
        return self.process.wait(40)


@contextmanager
def serving(*arguments, **more):
    server = Server(*arguments, **more)
    try:
        yield server
    finally:
        server.stop()


def launch(playwright):
    """Chromium with scrollbars, as people have them."""
    return playwright.chromium.launch(
        executable_path=chromium(), args=CHROMIUM_OPTIONS, ignore_default_args=["--hide-scrollbars"]
    )


@pytest.fixture(scope="session")
def browser():
    require_parts()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server():
    require_parts(browser=False)
    with serving("--keep", KEEP_SECONDS, "--upload-limit", UPLOAD_MB, "--device", "cpu") as server:
        yield server


@pytest.fixture(scope="session")
def truth(tmp_path_factory):
    """Answers in place of the network's, for CTs of these shapes: one with a tumor, one without, and the phantom."""
    folder = tmp_path_factory.mktemp("truth")
    keep_truth(folder, phantom.make(**SMALL))
    keep_truth(folder, phantom.make(**HEALTHY))
    return folder


def keep_truth(folder, made):
    """Write what stand_in/sitecustomize.py answers for a CT of the shape of ``made``."""
    labels = made.labels.astype(np.uint8)
    if labels.shape == HEALTHY["shape"]:
        labels[labels == TUMOR] = KIDNEY
    rim = ndimage.binary_dilation(labels > 0) ^ ndimage.binary_erosion(labels > 0)
    for what, values in (("labels", labels), ("uncertainty", np.where(rim, 100, 0).astype(np.uint8))):
        np.save(folder / f"{'x'.join(map(str, labels.shape))}_{what}.npy", values)


@pytest.fixture(scope="session")
def quick(truth):
    """A server whose engine answers at once, and truly."""
    require_parts(browser=False)
    with serving("--keep", KEEP_SECONDS, "--upload-limit", UPLOAD_MB, "--device", "cpu", truth=truth) as server:
        yield server


@pytest.fixture(scope="module")
def opened(browser, quick, small_ct):
    """A page with the small CT, for all tests of a file."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    visitor = Visitor(page).open(quick.address)
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    visitor.rest()
    yield visitor
    page.close()


@pytest.fixture(scope="module")
def segmented(opened):
    """The same with its segments."""
    opened.segment()
    opened.sees("Tumor 1 of 1")
    opened.rest()
    return opened


@pytest.fixture
def visit(browser, server, request):
    """A function that opens a page of its own; afterwards its picture is kept and it is closed."""
    yield from visits(browser, server, request)


@pytest.fixture
def call(browser, quick, request):
    """``visit`` where the engine answers at once."""
    yield from visits(browser, quick, request)


def visits(browser, server, request):
    pages = []

    def visit(width=1280, height=800):
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        return Visitor(page).open(server.address)

    yield visit
    SHOTS.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(pages):
        if not page.is_closed():
            page.screenshot(path=SHOTS / f"{request.node.name}_{number}.png")
            page.close()


def phantom_ct(path, options):
    """A phantom's CT as a file; gives its path."""
    made = phantom.make(**options)
    phantom.save_nifti(made.hu, made.affine, path)
    return path


@pytest.fixture(scope="session")
def small_ct(tmp_path_factory):
    """A CT that is read and segmented in a moment."""
    return phantom_ct(tmp_path_factory.mktemp("view") / "patient 7.nii.gz", SMALL)


@pytest.fixture(scope="module")
def made():
    return phantom.make(seed=3, shape=(24, 60, 72), spacing=(10.0, 5.0, 5.0))


@pytest.fixture(scope="module")
def labels(made):
    labels = made.labels.copy()
    left = labels[:, :, labels.shape[2] // 2 :]
    left[left == 1] = LEFT_KIDNEY
    return labels
