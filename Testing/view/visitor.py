"""What a person does with a page, in a real browser."""

from __future__ import annotations

import re
import time

PATIENCE = 240_000  # ms; a busy machine takes ten times what an idle one does


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

    def at_leisure(self):
        """Nothing is being opened any more: a drop is refused until then, a moment after the CT is there."""
        self.page.wait_for_function("!window.trame.state.get('PageState__busy')")

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
