"""Makes the pictures of docs/view.md from the phantom: python -m Testing.view.screenshots

With ``--sizes FOLDER`` also the whole page at three sizes, to be looked at.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from playwright.sync_api import sync_playwright

from Testing.view.conftest import ROOT, Visitor, launch, serving

PICTURES = ROOT / "Resources" / "Screenshots"
SIZES = ((1280, 800), (1920, 1080), (1024, 768))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", type=Path, metavar="FOLDER", help="also the page at three sizes")
    arguments.add_argument("--ct", type=Path, help="a CT in place of the phantom, for --sizes alone")
    arguments.add_argument("--truth", type=Path, help="answers in place of the network's, as the tests use them")
    given = arguments.parse_args()
    opened = [given.ct] if given.ct else []
    with serving(*opened, "--device", "cpu", truth=given.truth) as server, sync_playwright() as playwright:
        browser = launch(playwright)
        visitor = Visitor(browser.new_page(viewport={"width": 1280, "height": 800}))
        visitor.page.goto(server.address)
        if not given.ct:
            visitor.button("Try it with the phantom").click()
        visitor.sees("voxels of")
        visitor.segment()
        visitor.sees(re.compile(r"Tumor 1 of|No tumor"))
        visitor.rest(4)  # 3D comes last
        if given.sizes:
            at_sizes(visitor, given.sizes)
        if not given.ct:
            PICTURES.mkdir(parents=True, exist_ok=True)
            take(visitor, PICTURES)
        visitor.page.goto("about:blank")
        browser.close()


def at_sizes(visitor: Visitor, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in SIZES:
        visitor.page.set_viewport_size({"width": width, "height": height})
        visitor.rest(4)
        visitor.page.screenshot(path=folder / f"{width}x{height}.png")
    visitor.page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    visitor.rest(4)


def take(visitor: Visitor, folder: Path) -> None:
    page = visitor.page
    page.screenshot(path=folder / "view.png")
    page.get_by_label("Uncertainty", exact=True).click()
    visitor.rest(4)
    page.screenshot(path=folder / "view-uncertainty.png")
    page.get_by_label("Uncertainty", exact=True).click()
    page.get_by_text("kidney tumor", exact=True).click()
    visitor.button("Paint").click()
    visitor.rest()
    visitor.stroke((0.66, 0.6), (14, 8))
    visitor.sees("corrected by hand")
    visitor.rest(4)
    page.screenshot(path=folder / "view-correct.png")


if __name__ == "__main__":
    main()
