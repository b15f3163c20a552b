"""Makes the pictures of docs/view.md from the phantom: python -m Testing.view.screenshots"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from Testing.view.conftest import CHROMIUM_OPTIONS, ROOT, Visitor, chromium, serving

PICTURES = ROOT / "Resources" / "Screenshots"


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with serving("--device", "cpu") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_OPTIONS)
        visitor = Visitor(browser.new_page(viewport={"width": 1280, "height": 800})).open(server.address)
        take(visitor, PICTURES)
        browser.close()


def take(visitor: Visitor, folder: Path) -> None:
    page = visitor.page
    visitor.button("Try it with the phantom").click()
    visitor.sees("120 × 256 × 256 voxels")
    visitor.segment()
    page.wait_for_timeout(6000)  # 3D comes last
    page.screenshot(path=folder / "view.png")
    page.get_by_label("Uncertainty").click()
    page.wait_for_timeout(3000)
    page.screenshot(path=folder / "view-uncertainty.png")
    page.get_by_label("Uncertainty").click()
    page.get_by_text("kidney tumor", exact=True).click()
    visitor.button("Paint").click()
    page.wait_for_timeout(1000)
    visitor.stroke((0.66, 0.6), (14, 8))
    visitor.sees("corrected by hand")
    page.wait_for_timeout(6000)
    page.screenshot(path=folder / "view-correct.png")


if __name__ == "__main__":
    main()
