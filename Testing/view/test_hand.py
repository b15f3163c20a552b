"""The views under a hand: wheel, mouse, keys, and what is measured with them."""

import re

import numpy as np
import pytest
from wpunet import files

from Testing.view.visitor import until

FOUR = ("Axial", "Coronal", "Sagittal", "ThreeD")


@pytest.fixture
def visitor(opened):
    return opened.anew()


def test_scrolling_draws_the_newest_and_nothing_that_is_overtaken(visitor):
    page = visitor.page
    page.evaluate(
        """() => {
          window.shown = 0;
          new MutationObserver((changes) => {
            window.shown += changes.filter(({target}) => target.matches("[data-view] img")).length;
          }).observe(document, {subtree: true, attributes: true, attributeFilter: ["src"]});
        }"""
    )
    page.mouse.move(*visitor.place("Axial"))
    page.keyboard.press("Home")
    until(lambda: visitor.slice() == 1, "the first slice")
    page.keyboard.press("End")
    until(lambda: visitor.slice() == 30, "the last slice")
    visitor.rest()
    before = page.evaluate(  # all at once, so that an answer is still awaited; what was shown when the hand has stopped
        """() => {
          const view = document.querySelector("[data-view=Axial]");
          for (let k = 0; k < 25; k++) {
            view.dispatchEvent(new WheelEvent("wheel", {deltaY: -100, bubbles: true, cancelable: true}));
          }
          return window.shown;
        }"""
    )
    until(lambda: visitor.slice() == 5, "25 slices towards the head, none lost")
    visitor.rest()
    assert page.evaluate("window.shown") - before <= 2 * len(FOUR) + 4  # what was on its way, then coarse and full
    page.mouse.wheel(0, 300)  # three clicks in one
    until(lambda: visitor.slice() == 8, "three slices on")
    page.keyboard.press("PageUp")
    until(lambda: visitor.slice() == 3, "five slices back")
    assert not visitor.complaints


def test_a_moving_view_is_coarser_than_one_at_rest(visitor):
    def sharpness():
        """Bytes of the picture that is shown: of the same slice more at a higher quality."""
        return visitor.page.evaluate(
            "async () => (await (await fetch(document.querySelector('[data-view=Axial] img').src)).blob()).size"
        )

    page = visitor.page
    still = sharpness()
    page.evaluate(
        """() => {
          window.sizes = [];
          new MutationObserver(async ([{target}]) => {
            if (target.closest("[data-view=Axial]")) window.sizes.push((await (await fetch(target.src)).blob()).size);
          }).observe(document, {subtree: true, attributes: true, attributeFilter: ["src"]});
        }"""
    )
    page.mouse.move(*visitor.place("Axial"))
    for by in (100, -100) * 3:
        page.mouse.wheel(0, by)
        visitor.rest()
        assert sharpness() > 0.8 * still
    assert sharpness() == still  # the same slice at rest: the same picture
    assert min(page.evaluate("window.sizes")) < 0.8 * still


def test_left_drag_changes_window_and_level_and_presets_have_keys(visitor):
    page = visitor.page
    assert visitor.window() == (400, 40)
    visitor.drag("Axial", (0.5, 0.5), (0.7, 0.5))
    until(lambda: visitor.window()[0] > 500, "a wider window")
    visitor.rest()
    assert visitor.window()[1] == 40
    width, _ = visitor.window()
    visitor.drag("Sagittal", (0.5, 0.6), (0.5, 0.4))
    until(lambda: visitor.window()[1] < 0, "a lower level: brighter")
    visitor.rest()
    assert visitor.window()[0] == width
    for key, shown in (("2", (300, 120)), ("3", (1800, 400)), ("4", (1500, -600)), ("1", (400, 40))):
        page.keyboard.press(key)
        until(lambda shown=shown: visitor.window() == shown, f"preset {key}")
    visitor.button("Window presets").click()
    page.get_by_text("W 1800 L 400 key 3").dblclick()  # whose second click falls on the view below
    until(lambda: visitor.window() == (1800, 400), "the bone window")
    assert page.evaluate("window.trame.state.state.PageState__large") == ""
    page.keyboard.press("r")
    until(lambda: visitor.window() == (400, 40), "the window as at first")


def test_keys_work_after_a_slider_was_moved(visitor):
    page = visitor.page
    page.mouse.move(*visitor.place("Axial"))
    box = page.locator("[data-view=Axial]").get_by_role("slider").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = visitor.slice()
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1], steps=4)
    page.mouse.up()
    until(lambda: visitor.slice() != before, "another slice")
    page.keyboard.press("2")
    until(lambda: visitor.window() == (300, 120), "the kidney window", 20)
    visitor.rest()
    at = visitor.slice()
    page.keyboard.press("ArrowUp")  # the slider's own
    until(lambda: visitor.slice() == at - 1, "one slice, not two", 20)
    visitor.rest()
    assert visitor.slice() == at - 1


def test_what_lies_under_the_pointer_is_told(visitor, small_ct):
    ct = files.read(small_ct)
    to_index = np.linalg.inv(ct.affine)
    for view in ("Axial", "Coronal", "Sagittal"):
        x, y = visitor.place(view, 0.45, 0.55)
        visitor.page.mouse.move(x - 20, y)
        visitor.page.mouse.move(x, y, steps=3)
        until(lambda view=view: "HU" in visitor.over(view), "HU under the pointer")
        visitor.page.wait_for_timeout(500)
        hu, ras = visitor.under_the_pointer(view)
        index = to_index[:3, :3] @ ras + to_index[:3, 3]
        near = [ct.hu[tuple(np.rint(index + by).astype(int))] for by in np.ndindex(1, 1, 1)]
        step = 0.06 / min(ct.spacing)  # places are told in tenths of a mm
        if np.abs(index - np.floor(index) - 0.5).min() > step:
            assert hu in near
        axis = {"Axial": 0, "Coronal": 1, "Sagittal": 2}[view]
        assert visitor.slice(view) == np.floor(index[axis] + 0.5) + 1
        assert f"of {ct.hu.shape[axis]}" in visitor.over(view)


def test_what_is_told_of_the_pointer_follows_the_slice_and_goes_with_the_pointer(visitor, small_ct):
    page, ct = visitor.page, files.read(small_ct)
    to_index = np.linalg.inv(ct.affine)
    page.mouse.move(*visitor.place("Axial", 0.4, 0.4))
    page.mouse.move(*visitor.place("Axial", 0.45, 0.55), steps=3)
    until(lambda: "HU" in visitor.over("Axial"), "HU under the pointer")
    for step in (lambda: page.mouse.wheel(0, 300), lambda: page.keyboard.press("PageUp")):
        before = visitor.slice()
        step()
        until(lambda before=before: visitor.slice() != before, "another slice")
        visitor.rest()
        hu, ras = visitor.under_the_pointer()
        index = np.floor(to_index[:3, :3] @ ras + to_index[:3, 3] + 0.5).astype(int)
        assert index[0] + 1 == visitor.slice()
        assert hu == ct.hu[tuple(index)]
    page.mouse.move(*visitor.place("Coronal"), steps=3)
    until(lambda: "HU" in visitor.over("Coronal"), "HU in another view")
    assert "HU" not in visitor.over("Axial")
    page.mouse.move(100, 400)
    until(lambda: "HU" not in visitor.over("Coronal"), "nothing to be told any more", 20)


def test_nothing_is_told_of_the_pointer_in_the_ct_before(visitor, small_ct):
    visitor.page.mouse.move(*visitor.place("Axial", 0.4, 0.4))
    visitor.page.mouse.move(*visitor.place("Axial", 0.45, 0.55), steps=3)
    until(lambda: "HU" in visitor.over("Axial"), "HU under the pointer")
    visitor.drop(small_ct)
    until(lambda: "HU" not in visitor.over("Axial"), "nothing to be told any more", 20)


def test_crosshair_links_the_views(visitor, small_ct):
    page = visitor.page
    page.keyboard.press("c")
    until(lambda: visitor.button("Crosshair").get_attribute("aria-pressed") == "true", "the crosshair")
    page.mouse.click(*visitor.place("Axial", 0.4, 0.6))
    until(lambda: "HU" in visitor.over("Axial"), "the place under the pointer")
    _, (right, front, _) = visitor.under_the_pointer()
    until(lambda: abs(visitor.position("Sagittal") - right) < 2.9, "the sagittal view to follow")
    until(lambda: abs(visitor.position("Coronal") - front) < 2.9, "the coronal view to follow")
    on_slices(visitor, files.read(small_ct), ("Sagittal", "Coronal"))
    page.keyboard.press("c")
    until(lambda: visitor.button("Window").get_attribute("aria-pressed") == "true", "window and level again")


def test_a_view_fits_resets_and_fills_the_page(visitor):
    page = visitor.page
    whole = scale(visitor)
    visitor.drag("Axial", (0.5, 0.6), (0.5, 0.4), button="right")  # zoom
    until(lambda: abs(scale(visitor) / whole - 1) > 0.1, "another zoom")
    page.mouse.move(*visitor.place("Axial"))
    page.keyboard.press("f")
    until(lambda: abs(scale(visitor) / whole - 1) < 0.01, "the whole CT")
    page.keyboard.press("Home")
    until(lambda: visitor.slice() == 1, "the first slice")
    page.get_by_role("button", name="Reset Axial").click()
    until(lambda: abs(visitor.slice() - 15) <= 1, "the middle again")
    narrow = page.locator("[data-view=Axial]").bounding_box()["width"]
    page.mouse.dblclick(*visitor.place("Axial"))
    until(lambda: page.locator("[data-view]").count() == 1, "one view")
    until(lambda: page.locator("[data-view=Axial]").bounding_box()["width"] > 1.9 * narrow, "a large view")
    until(lambda: filled(visitor, "Axial"), "its picture")
    page.mouse.dblclick(*visitor.place("Axial"))
    until(lambda: page.locator("[data-view]").count() == 4, "four views")
    for view in FOUR:
        until(lambda view=view: filled(visitor, view), f"the picture of {view}")
    assert not visitor.complaints


def test_a_ruler_and_a_round_region_measure(visitor, small_ct):
    page = visitor.page
    visitor.button("Ruler").click()
    visitor.drag("Axial", (0.3, 0.5), (0.7, 0.5))
    (text,) = until(lambda: marks(visitor), "the ruler")
    width = page.locator("[data-view=Axial]").bounding_box()["width"]
    assert float(text.removesuffix(" mm")) == pytest.approx(0.4 * width / scale(visitor), rel=0.01)
    visitor.button("Region").click()
    visitor.drag("Axial", (0.4, 0.6), (0.44, 0.6))
    region = until(lambda: next((one for one in marks(visitor) if "±" in one), ""), "the region")
    mean, sd, area = map(float, re.fullmatch(r"(-?\d+) ± (\d+) HU, ([\d.]+) cm²", region).groups())
    radius = 0.04 * width / scale(visitor)
    assert area == pytest.approx(np.pi * radius**2 / 100, abs=0.02 * np.pi * radius**2 / 100 + 0.01)
    assert -200 < mean < 400
    assert sd < 200
    page.mouse.wheel(0, 100)
    until(lambda: not marks(visitor), "other slices to be without them")
    page.mouse.wheel(0, -100)
    until(lambda: len(marks(visitor)) == 2, "them again")
    page.keyboard.press("Delete")
    until(lambda: len(marks(visitor)) == 1, "one to go")
    visitor.button("Clear").click()
    until(lambda: not marks(visitor), "all to go")


def test_a_mark_is_changed_by_its_ends_and_taken_away_under_the_pointer(visitor):
    page = visitor.page

    def drawn(kind):
        """The one ruler, or the one region; None where there is none."""
        found = [one for one in page.evaluate("window.trame.state.state.PageState__marks") if one["kind"] == kind]
        assert len(found) <= 1
        return found[0] if found else None

    def length():
        return float(drawn("ruler")["text"].removesuffix(" mm"))

    visitor.button("Ruler").click()
    visitor.drag("Axial", (0.3, 0.4), (0.7, 0.4))
    until(lambda: drawn("ruler"), "the ruler")
    whole = length()
    visitor.drag("Axial", (0.7, 0.4), (0.5, 0.4))
    until(lambda: length() == pytest.approx(whole / 2, rel=0.03), "half of it", 20)
    visitor.button("Region").click()
    visitor.drag("Axial", (0.5, 0.7), (0.58, 0.7))
    before = until(lambda: drawn("region"), "the region")
    visitor.drag("Axial", (0.5, 0.7), (0.4, 0.6))
    moved = until(lambda: drawn("region")["a"] != before["a"] and drawn("region"), "the region elsewhere", 20)
    assert np.subtract(moved["b"], moved["a"]) == pytest.approx(np.subtract(before["b"], before["a"]), abs=1)
    page.mouse.move(*visitor.place("Axial", 0.3, 0.4))
    page.keyboard.press("Delete")
    until(lambda: not drawn("ruler"), "the ruler to go", 20)
    assert drawn("region")


def test_ctrl_and_wheel_zoom_and_leave_the_slice(visitor):
    page, was, at = visitor.page, scale(visitor), visitor.slice()
    page.mouse.move(*visitor.place("Axial"))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    until(lambda: scale(visitor) > 1.05 * was, "a larger picture", 20)
    visitor.rest()
    assert visitor.slice() == at


def test_a_mark_stays_until_the_session_has_measured_it(visitor):
    page = visitor.page
    visitor.button("Ruler").click()
    page.evaluate("window.really = window.wpunet.ask; window.wpunet.ask = (...all) => { window.asked = all; }")
    visitor.drag("Axial", (0.3, 0.5), (0.7, 0.5))
    page.evaluate("window.dispatchEvent(new Event('resize'))")  # all marks are drawn anew
    page.wait_for_timeout(200)
    assert len(marks(visitor)) == 1
    page.evaluate("window.wpunet.ask = window.really; window.really(...window.asked)")
    until(lambda: page.evaluate("window.trame.state.state.PageState__marks.length") == 1, "the answer")
    until(lambda: len(marks(visitor)) == 1, "one ruler, not two", 10)


def on_slices(visitor, ct, views=("Axial", "Coronal", "Sagittal")):
    """The views show slices of the CT, not blends of two; their numbers are right."""
    given = visitor.page.evaluate("window.trame.state.state")
    for view in views:
        axis, normal = {"Axial": (0, 2), "Coronal": (1, 1), "Sagittal": (2, 0)}[view]
        geometry = given[f"over_{view}__ViewState__geometry"]
        ras = np.linalg.inv(np.array(geometry[:16]).reshape(4, 4))[:3, 3]
        place = (ras[normal] - ct.affine[normal, 3]) / ct.affine[normal, axis]
        assert abs(place - round(place)) < 1e-3, (view, place)
        assert visitor.slice(view) == round(place) + 1


def marks(visitor):
    return visitor.page.locator("[data-marks=Axial] text").all_text_contents()


def scale(visitor, view="Axial"):
    """Pixels of the page a mm."""
    given = visitor.page.evaluate(f"window.trame.state.state['over_{view}__ViewState__geometry']")
    shown = visitor.page.locator(f"[data-view={view}]").bounding_box()["width"]
    return float(np.linalg.norm(np.array(given[:16]).reshape(4, 4)[0, :3])) * shown / given[16]


def filled(visitor, view):
    """Whether a view shows a picture of about its own size."""
    return visitor.page.evaluate(
        """(view) => {
          const cell = document.querySelector(`[data-view=${view}]`), picture = cell?.querySelector("img");
          return !!picture && picture.naturalWidth > 0.45 * cell.clientWidth;
        }""",
        view,
    )
