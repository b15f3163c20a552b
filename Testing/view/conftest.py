"""A running ``wpunet view``, a real browser, and what a person does with the two."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from wpunet.labels import KIDNEY, LEFT_KIDNEY, TUMOR

from Testing import phantom

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in")
SHOTS = ROOT / "build" / "view"  # what the pages looked like, for whoever wonders why a test failed
KEEP_SECONDS, UPLOAD_MB = 8, 6  # a reload takes seconds on a busy machine
PATIENCE = 240_000  # ms; a busy machine takes ten times what an idle one does
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


class Visitor:
    """A person at a page."""

    def __init__(self, page):
        self.page = page
        page.set_default_timeout(PATIENCE)
        self.complaints = []
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, address):
        self.page.goto(address)
        self.page.get_by_text("Try it with the phantom").wait_for()
        return self

    def anew(self):
        """Make the page as it was when its CT was opened, or segmented."""
        self.page.set_viewport_size({"width": 1280, "height": 800})
        self.page.evaluate(
            """async () => {
              const { trame, wpunet } = window;
              trame.state.update({PageState__hidden: false, PageState__uncertainty: false, PageState__error: "",
                PageState__heeded: false, PageState__help: false, PageState__tool: "window"});
              const large = trame.state.state.PageState__large;
              if (large) await wpunet.ask("enlarge", large);
              await wpunet.ask("use", "window");
              await wpunet.ask("unmark", -1);
              await wpunet.ask("reset");
            }"""
        )
        self.page.locator("[data-view]").nth(3).wait_for()
        self.rest()
        self.complaints.clear()
        return self

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def sees(self, text):
        return self.page.get_by_text(text).first.wait_for()

    def upload(self, *paths, button="Open CT"):
        with self.page.expect_file_chooser() as chooser:
            self.button(button).click()
        chooser.value.set_files([str(path) for path in paths] if len(paths) > 1 else str(paths[0]))

    def drop(self, *paths):
        """Let files or folders fall on the page, as from a file manager."""
        browser = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            browser.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 400, "data": data})

    def segment(self):
        self.button("Segment").click()
        rows, error = self.page.locator("tr.jump"), self.page.locator(".messages .v-alert")
        rows.or_(error).first.wait_for()
        assert rows.count(), error.inner_text()

    def rows(self):
        """What the results table says: {name: [volume, diameter, HU, certainty]}."""
        of_all = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"  # at one moment
        return {row[0]: row[1:] for row in self.page.locator("tr.jump").evaluate_all(of_all)}

    def volume(self, name):
        return float(self.rows()[name][0].lstrip("> "))

    def volume_becomes(self, name, right):
        """Wait until the volume of ``name`` satisfies ``right``; gives it."""

        def reached():
            row = self.rows().get(name)  # there is none while the table is drawn anew
            ml = float(row[0].lstrip("> ")) if row else None
            return ml if ml is not None and right(ml) else None

        return until(reached, f"volume of {name} to change")

    def save(self, ending, folder):
        self.button("Save").click()
        with self.page.expect_download() as download:
            self.page.locator(f'a[href="save/{ending}"]').click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def over(self, view):
        """What is written over a view."""
        return self.page.locator(f'[data-view="{view}"] .over-view').inner_text()

    def position(self, view):
        """Where a slice view stands: RAS mm along its normal."""
        side, mm = re.search(r"([RLAPSI]) ([\d.]+) mm", self.over(view)).groups()
        return float(mm) * (1 if side in "RAS" else -1)

    def slice(self, view="Axial"):
        """The number of the slice that a view shows."""
        return int(re.search(rf"{view}\s+(\d+) of", self.over(view)).group(1))

    def window(self):
        """Width and level in HU, as they stand over the axial view."""
        return tuple(map(int, re.search(r"W (-?\d+)\s+L (-?\d+)", self.over("Axial")).groups()))

    def under_the_pointer(self, view="Axial"):
        """HU and RAS mm under the pointer, as they stand over a view."""
        hu, *places = re.search(
            r"(-?\d+) HU\s+([RL] [\d.]+)\s+([AP] [\d.]+)\s+([SI] [\d.]+) mm", self.over(view)
        ).groups()
        return int(hu), [float(place[2:]) * (1 if place[0] in "RAS" else -1) for place in places]

    def place(self, view, right=0.5, down=0.5):
        """Pixels of the page at shares of a view's width and height."""
        box = self.page.locator(f'[data-view="{view}"]').bounding_box()
        return box["x"] + right * box["width"], box["y"] + down * box["height"]

    def drag(self, view, start, end, button="left"):
        """From one place of a view to another, both in shares of it."""
        self.page.mouse.move(*self.place(view, *start))
        self.page.mouse.down(button=button)
        self.page.mouse.move(*self.place(view, *end), steps=6)
        self.page.mouse.up(button=button)

    def picture(self, view):
        """What a view shows, without what is written over it: the address of its latest picture."""
        return self.page.locator(f'[data-view="{view}"] img').get_attribute("src")

    def pixels(self, view):
        """The same as bytes in words: two pictures that are equal are equal here."""
        return self.page.evaluate(
            "async (source) => String(new Uint8Array(await (await fetch(source)).arrayBuffer()))", self.picture(view)
        )

    def rest(self, quiet=1.5):
        """Wait until no view gets another picture."""
        shown = "[...document.querySelectorAll('[data-view] img')].map((one) => one.src).join()"
        last, since = None, time.monotonic()
        end = since + 120
        while time.monotonic() < since + quiet:
            now = self.page.evaluate(shown)
            if now != last:
                last, since = now, time.monotonic()
            assert time.monotonic() < end, "the views never rest"
            time.sleep(0.1)

    def stroke(self, start, by, steps=4):
        """Draw a line in the axial view, from a place in shares of it, slowly as a hand does."""
        x, y = self._axial(*start)
        dx, dy = by
        self.page.mouse.move(x, y)
        self.page.wait_for_timeout(400)
        self.page.mouse.down()
        for k in range(1, steps + 1):
            self.page.mouse.move(x + dx * k / steps, y + dy * k / steps)
            self.page.wait_for_timeout(250)
        self.page.mouse.up()

    def _axial(self, right, down):
        return self.place("Axial", right, down)


def until(holds, what, seconds=120):
    """Wait until ``holds()`` is true, and give it."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return value


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
