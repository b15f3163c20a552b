"""How long the page takes with a CT, and how much memory: python -m Testing.view.timing CT"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from Testing.view.conftest import CHROMIUM_OPTIONS, Server, Visitor, chromium, serving

PARTS = {"session": ("wpunet_view.session",), "engine": ("wpunet", "segment")}


class Memory(threading.Thread):
    """Watches the highest memory of the server's processes, in MB."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.highest = server, dict.fromkeys(PARTS, 0.0)

    def run(self) -> None:
        while True:
            for name, words in PARTS.items():
                for pid in self.server.children(*words):
                    self.highest[name] = max(self.highest[name], _peak_mb(pid))
            time.sleep(0.3)


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # it has just ended
        return 0.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("ct", type=Path)
    given = arguments.parse_args()
    start = time.monotonic()
    with serving(given.ct, "--device", "cpu") as server, sync_playwright() as playwright:
        memory = Memory(server)
        memory.start()
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_OPTIONS)
        visitor = Visitor(browser.new_page(viewport={"width": 1280, "height": 800}))
        visitor.page.goto(server.address)
        visitor.sees("voxels of")
        visitor.button("Segment").wait_for()
        print(f"opened   {time.monotonic() - start:5.1f} s from the start of wpunet view")
        start = time.monotonic()
        visitor.segment()
        print(f"results  {time.monotonic() - start:5.1f} s from the click to the table")
        visitor.page.wait_for_timeout(6000)  # 3D comes last
        print("highest memory: " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in memory.highest.items()))
        browser.close()


if __name__ == "__main__":
    main()
