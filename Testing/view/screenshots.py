"""Makes the pictures of docs/view.md from the phantom: python -m Testing.view.screenshots

With ``--ct FILE --into PNG`` it makes only the page with the segmented CT. With ``--sizes FOLDER`` it makes the page in
all its states at three sizes, to be looked at; with ``--ct`` of that CT.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from Testing.view.conftest import ROOT, Server, launch, serving
from Testing.view.visitor import Visitor, until

PICTURES = ROOT / "Resources" / "Screenshots"
SIZES = ((1280, 800), (1920, 1080), (1024, 768))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ct", type=Path, help="a CT in place of the phantom")
    arguments.add_argument("--into", type=Path, help="the PNG of its page")
    arguments.add_argument("--sizes", type=Path, metavar="FOLDER", help="all states at three sizes")
    arguments.add_argument("--truth", type=Path, help="answers in place of the network's, as the tests use them")
    given = arguments.parse_args()
    with serving("--device", "cpu", truth=given.truth) as server, sync_playwright() as playwright:
        browser = launch(playwright)
        visitor = Visitor(browser.new_page(viewport={"width": 1280, "height": 800})).open(server.address)
        if given.sizes:
            given.sizes.mkdir(parents=True, exist_ok=True)
            all_states(visitor, server, given.ct, lambda name: at_sizes(visitor, given.sizes, name))
        else:
            show(visitor, given.ct)
            segment(visitor)
            if given.ct:
                visitor.page.screenshot(path=given.into)
            else:
                PICTURES.mkdir(parents=True, exist_ok=True)
                of_phantom(visitor)
        visitor.page.goto("about:blank")
        browser.close()


def show(visitor: Visitor, ct: Path | None) -> None:
    if ct is None:
        visitor.button("Try it with the phantom").click()
    else:
        visitor.upload(ct)
        visitor.page.locator("text=/voxels of|What is this case called/").first.wait_for()
        if visitor.button("Use this name").is_visible():
            visitor.page.get_by_label("Name of the case").fill(ct.resolve().parent.name)
            visitor.button("Use this name").click()
    visitor.sees("voxels of")
    visitor.rest()


def segment(visitor: Visitor) -> None:
    visitor.segment()
    visitor.sees(re.compile(r"Tumor 1 of|No tumor"))
    visitor.rest(4)  # 3D comes last


def of_phantom(visitor: Visitor) -> None:
    page = visitor.page
    page.screenshot(path=PICTURES / "view.png")
    uncertain(visitor)
    page.screenshot(path=PICTURES / "view-uncertainty.png")
    uncertain(visitor)
    correct(visitor)
    page.screenshot(path=PICTURES / "view-correct.png")


def uncertain(visitor: Visitor) -> None:
    visitor.page.get_by_label("Uncertainty", exact=True).click()
    visitor.rest(4)


def correct(visitor: Visitor) -> None:
    visitor.page.get_by_text("kidney tumor", exact=True).click()
    visitor.button("Paint").click()
    visitor.rest()
    visitor.stroke((0.66, 0.6), (14, 8))
    visitor.sees("corrected by hand")
    visitor.rest(4)


def at_sizes(visitor: Visitor, folder: Path, name: str) -> None:
    for width, height in SIZES:
        visitor.page.set_viewport_size({"width": width, "height": height})
        visitor.rest()
        visitor.page.screenshot(path=folder / f"{name}-{width}x{height}.png")
    visitor.page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    visitor.rest()


@contextmanager
def held(server: Server) -> Iterator[None]:
    """The engine waits, however fast it is, once it has got somewhere."""
    (engine,) = until(lambda: server.children("wpunet", "segment"), "the engine")
    time.sleep(3)
    os.kill(engine, signal.SIGSTOP)
    yield
    os.kill(engine, signal.SIGCONT)


def all_states(visitor: Visitor, server: Server, ct: Path | None, take: Callable[[str], None]) -> None:
    """What a user sees from the empty page on, in the order in which it comes."""
    page = visitor.page
    take("1-empty")
    show(visitor, ct)
    page.mouse.move(*visitor.place("Axial", 0.4, 0.4))
    take("2-loaded")
    visitor.button("Segment").click()
    page.locator("[aria-label=Segmentation]").wait_for()
    with held(server):
        take("3-running")
    page.locator("tr.jump").first.wait_for()
    visitor.rest(4)
    take("4-result")
    uncertain(visitor)
    take("5-uncertainty")
    uncertain(visitor)
    for view, name in (("ThreeD", "6-large-3d"), ("Coronal", "7-large-coronal")):
        page.mouse.dblclick(*visitor.place(view))
        page.locator("[data-view]").nth(1).wait_for(state="detached")
        take(name)
        page.keyboard.press("Escape")
        page.locator("[data-view]").nth(3).wait_for()
        visitor.rest()
    for button, a, b in (("Ruler", (0.3, 0.3), (0.6, 0.35)), ("Region", (0.6, 0.7), (0.65, 0.7))):
        visitor.button(button).click()
        visitor.drag("Axial", a, b)
    take("8-measured")
    visitor.button("Clear").click()
    correct(visitor)
    take("9-correcting")
    page.get_by_text("Rendering", exact=True).click()
    page.get_by_text("Where the tools work", exact=True).click()
    take("10-correcting-all")
    visitor.button("Segment again").click()
    visitor.button("Keep my corrections").wait_for()
    take("11-question")
    visitor.button("Keep my corrections").click()
    visitor.button("Save").click()
    page.locator('a[href="save/nii.gz"]').wait_for()
    take("12-save")
    page.keyboard.press("Escape")
    visitor.button("Help").click()
    take("13-help")
    visitor.button("Close").click()
    visitor.upload(Path(__file__))
    visitor.sees("is of an unknown kind")
    take("14-error")


if __name__ == "__main__":
    main()
