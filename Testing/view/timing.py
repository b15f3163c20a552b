"""How fast the page is, from the hand to the picture, and how much memory it takes: python -m Testing.view.timing [CT]

Without a CT: the phantom. Figures for a document need an idle machine; ``--no-segment`` leaves the engine out.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from Testing.view.conftest import CHROMIUM_OPTIONS, Server, chromium, serving
from Testing.view.visitor import Visitor, until

PARTS = {"session": ("view.session",), "engine": ("wpunet", "segment")}
CLICKS, ROLL_SECONDS = 40, 2.0
# Writes down when which view shows a new picture, and when the hand moves; times in ms of the page's own clock.
WATCH = """
window.pictures = []; window.hands = [];
for (const kind of ["wheel", "mousemove"])
  window.addEventListener(kind, () => window.hands.push(performance.now()), {capture: true, passive: true});
new MutationObserver((changes) => {
  for (const {target} of changes) {
    if (!target.matches("img.image-display-area")) continue;
    const cells = [...document.querySelectorAll(".layout-grid-item")];
    window.pictures.push([performance.now(), cells.findIndex((cell) => cell.contains(target))]);
  }
}).observe(document, {subtree: true, attributes: true, attributeFilter: ["src"]});
"""
AXIAL, SPACE = 0, 1  # places in the grid


class Memory(threading.Thread):
    """Watches the highest memory of the server's processes, in MB."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.highest = server, dict.fromkeys(PARTS, 0.0)

    def run(self) -> None:
        while True:
            for name, words in PARTS.items():
                for pid in self.server.children(*words):
                    self.highest[name] = max(self.highest[name], memory_mb(pid, "VmHWM"))
            time.sleep(0.3)


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))
    except (OSError, StopIteration):  # it has just ended
        return 0.0


class Watch:
    """When pictures came and the hand moved, as the page itself saw it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def clear(self) -> None:
        self.page.evaluate("window.pictures = []; window.hands = []")

    def pictures(self, cell: int | None = None) -> list[float]:
        return [at for at, where in self.page.evaluate("window.pictures") if cell is None or where == cell]

    def hands(self) -> list[float]:
        return self.page.evaluate("window.hands")

    def rest(self, quiet_ms: float = 1500) -> None:
        """Wait until no picture has come for a while."""
        still = f"performance.now() - Math.max(0, ...window.pictures.map((one) => one[0])) > {quiet_ms}"
        until(lambda: self.page.evaluate(still), "the views to rest")


def centre(page: Page, cell: int) -> tuple[float, float]:
    box = page.locator(".layout-grid-item").nth(cell).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def hand_to_picture(watch: Watch, times: int = 12) -> list[float]:
    """ms from one click of the wheel to the next picture of the axial view."""
    waits = []
    for k in range(times):
        watch.rest(600)
        watch.clear()
        watch.page.mouse.wheel(0, 100 if k % 2 else -100)
        until(lambda: watch.pictures(AXIAL), "the slice")
        waits.append(watch.pictures(AXIAL)[0] - watch.hands()[0])
    return waits


def roll(watch: Watch) -> dict[str, float]:
    """40 clicks of the wheel in 2 s over the axial view."""
    watch.rest()
    watch.clear()
    start = time.monotonic()
    for k in range(CLICKS):
        watch.page.mouse.wheel(0, 100)
        time.sleep(max(0.0, start + (k + 1) * ROLL_SECONDS / CLICKS - time.monotonic()))
    return _told(watch, AXIAL)


def drag(watch: Watch, cell: int, button: str) -> dict[str, float]:
    """The hand goes round and round for 2 s with a button down."""
    from math import cos, pi, sin

    x, y = centre(watch.page, cell)
    watch.rest()
    watch.page.mouse.move(x, y)
    watch.rest()
    watch.page.mouse.down(button=button)
    watch.clear()
    start = time.monotonic()
    while (at := time.monotonic() - start) < ROLL_SECONDS:
        watch.page.mouse.move(x + 40 * sin(2 * pi * at), y + 40 - 40 * cos(2 * pi * at))
        time.sleep(0.016)
    told = _told(watch, cell)
    watch.page.mouse.up(button=button)
    return told


def _told(watch: Watch, cell: int) -> dict[str, float]:
    watch.rest(2500)
    last = watch.hands()[-1]
    here, all_ = watch.pictures(cell), watch.pictures()
    return {
        "pictures while the hand moves": sum(at <= last for at in here),
        "pictures of all views": len(all_),
        "ms from the hand's end to the last picture": max([0.0, *(at - last for at in all_)]),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("ct", type=Path, nargs="?", help="without one: the phantom")
    arguments.add_argument("--start", action="store_true", help="measure only how a page starts")
    arguments.add_argument("--no-segment", dest="segment", action="store_false", help="leave the engine out")
    arguments.add_argument("--size", default="1280x800", help="of the window")
    given = arguments.parse_args()
    width, height = map(int, given.size.split("x"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_OPTIONS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.add_init_script(WATCH)
        start = time.monotonic()
        with serving("--device", "cpu") as server:
            print(f"address    {time.monotonic() - start:5.1f} s from the start of wpunet view")
            visitor = Visitor(page).open(server.address)
            print(f"page open  {time.monotonic() - start:5.1f} s")
            time.sleep(5)
            (session,) = server.children("view.session")
            whole, shared = memory_mb(session), memory_mb(session, "RssFile")
            print(f"memory of a page without a CT {whole:.0f} MB; {shared:.0f} of them are files that pages share")
            visitor.page.goto("about:blank")
        if given.start:
            return
        arguments = [given.ct] if given.ct else []
        start = time.monotonic()
        with serving(*arguments, "--device", "cpu") as server:
            memory = Memory(server)
            memory.start()
            page.goto(server.address)
            if not given.ct:
                visitor.button("Try it with the phantom").click()
            visitor.sees("voxels of")
            visitor.button("Segment").wait_for()
            print(f"CT shown   {time.monotonic() - start:5.1f} s from the start of wpunet view")
            watch = Watch(page)
            motion(watch, "the CT alone")
            if given.segment:
                start = time.monotonic()
                visitor.segment()
                print(f"results    {time.monotonic() - start:5.1f} s from the click to the table")
                watch.rest(3000)  # 3D comes last
                motion(watch, "with segments")
            print("highest memory: " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in memory.highest.items()))
            page.goto("about:blank")
        browser.close()


def motion(watch: Watch, what: str) -> None:
    """Print what the hand feels."""
    print(what)
    watch.page.mouse.move(*centre(watch.page, AXIAL))
    waits = hand_to_picture(watch)
    print(f"  one click of the wheel: {statistics.median(waits):.0f} ms to the picture, at most {max(waits):.0f}")
    for name, told in (
        (f"{CLICKS} clicks in {ROLL_SECONDS:.0f} s", roll(watch)),
        ("drag in the axial view (right button)", drag(watch, AXIAL, "right")),
        ("drag in 3D (left button)", drag(watch, SPACE, "left")),
    ):
        print(f"  {name}: " + ", ".join(f"{key} {value:.0f}" for key, value in told.items()))


if __name__ == "__main__":
    main()
