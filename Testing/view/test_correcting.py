"""The correction tools under a hand: what they change, what they leave alone, and in which words they are offered."""

import re
from contextlib import contextmanager

import numpy as np
import pytest

from Testing import phantom
from Testing.view.test_findings import green
from Testing.view.visitor import until

EMPTY = {"seed": 3, "shape": (26, 116, 144), "spacing": (8.0, 2.8, 2.8)}  # nothing is found in it
FAT = (0.1, 0.2)  # a place in the axial view, in shares of it, beside the kidney that fills its middle


@pytest.fixture
def visitor(segmented):
    yield segmented.anew()
    for _ in range(5):  # all that a test has corrected
        segmented.page.keyboard.press("Control+z")
    until(lambda: not segmented.page.get_by_text("corrected by hand").is_visible(), "all to be as before")


def panel(visitor):
    """What stands under the tools."""
    return visitor.page.locator(".tool-options").inner_text()


def measured(visitor):
    """Wait for the numbers after a correction."""
    visitor.sees("corrected by hand")
    until(lambda: not visitor.page.get_by_text("measuring").is_visible(), "the end of measuring")


@contextmanager
def limits(visitor):
    """The part of the panel where the tools are limited, unfolded; no limits afterwards."""
    heading = visitor.button("Where the tools work")
    heading.click()
    part = visitor.page.locator(".limits")
    part.get_by_label("Paint over other segments").wait_for()
    try:
        yield part
    finally:  # so that a test that fails leaves the next one alone
        part.get_by_label("Paint over other segments").check()
        part.get_by_label("Only in a range of HU").uncheck()
        heading.click()


@pytest.mark.parametrize("tool", ["Paint", "Erase", "Smooth"])
def test_the_left_button_turns_3d_whatever_tool_is_on(visitor, tool):
    before = visitor.rows()
    visitor.button(tool).click()
    visitor.rest()
    seen = visitor.pixels("ThreeD")
    visitor.drag("ThreeD", (0.3, 0.5), (0.6, 0.55))
    visitor.button("Look").click()
    visitor.rest(3)
    assert visitor.pixels("ThreeD") != seen
    assert visitor.rows() == before
    assert not visitor.page.get_by_text("corrected by hand").is_visible()


def test_old_numbers_are_marked_until_the_new_ones_are_there(visitor):
    before = visitor.volume("right kidney")
    visitor.page.locator("tr.jump", has_text="right kidney").click()
    visitor.button("Paint").click()
    visitor.page.wait_for_timeout(500)
    visitor.stroke(FAT, (80, 0))
    visitor.sees("measuring")
    assert visitor.page.locator("tbody.old").count() == 1
    visitor.volume_becomes("right kidney", lambda ml: ml > before + 0.5)
    measured(visitor)
    assert visitor.page.locator("tbody.old").count() == 0
    visitor.page.mouse.dblclick(*visitor.place("Axial", *FAT))  # two dabs of the brush, which are its own
    visitor.rest()
    assert visitor.page.locator("[data-view]").count() == 4


def test_the_row_of_the_segment_that_is_edited_tells_so(visitor):
    page = visitor.page
    for name in ("kidney tumor", "right kidney"):
        page.locator(".segment", has_text=name).click()
        current = page.locator(".segment[aria-current=true]")
        until(lambda name=name, current=current: current.all_inner_texts() == [name], f"{name} to be current")


def test_brackets_change_the_brush_and_its_size_is_told_in_mm(visitor):
    page = visitor.page
    visitor.button("Paint").click()

    def size():
        return float(re.search(r"([\d.]+) mm", panel(visitor)).group(1))

    first = until(lambda: "mm" in panel(visitor) and size(), "the brush's size")
    page.keyboard.press("]")
    larger = until(lambda: size() > first and size(), "a larger brush")
    page.keyboard.press("[")
    until(lambda: size() == first, "the brush before")
    page.mouse.move(*visitor.place("Axial"))
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Shift")
    until(lambda: size() == larger, "a larger brush by the wheel")
    page.keyboard.press("[")


def test_tools_speak_plain_words(visitor):
    page = visitor.page
    jargon = re.compile(r"kernel|interaction|cut mode|positive|negative|editable|sphere brush|overlap|overwrite", re.I)
    for tool, says in (
        ("Paint", r"Brush size.*\d+ mm"),
        ("Draw", "Outline"),
        ("Scissors", "What is cut"),
        ("Threshold", "HU"),
        ("Islands", "other tumors.*other kidney"),
        ("Smooth", r"mm"),
    ):
        visitor.button(tool).click()
        until(lambda says=says: re.search(says, panel(visitor), re.S), f"the words of {tool}", 20)
        assert not jargon.search(panel(visitor)), panel(visitor)
    page.locator(".tool-options .v-select").click()
    page.get_by_text("All segments together").click()
    visitor.button("Apply to all segments").wait_for()
    visitor.sees("across lose half, or vanish")
    visitor.button("Islands").click()
    page.get_by_text("Remove small pieces").click()
    until(lambda: re.search(r"smaller than", panel(visitor)), "the size of small pieces", 20)
    with limits(visitor) as part:
        assert not jargon.search(part.inner_text())


def test_paint_leaves_other_segments_alone_where_it_is_told_to(visitor):
    page = visitor.page
    page.locator("tr.jump", has_text="right kidney").click()
    page.locator(".segment", has_text="kidney tumor").click()
    before = visitor.volume("right kidney")
    with limits(visitor) as part:
        part.get_by_label("Paint over other segments").uncheck()
        visitor.button("Paint").click()
        visitor.rest()
        visitor.stroke((0.2, 0.5), (250, 0))
        measured(visitor)
        assert visitor.volume("right kidney") == before
        part.get_by_label("Paint over other segments").check()
        visitor.stroke((0.2, 0.5), (250, 0))
        visitor.volume_becomes("right kidney", lambda ml: ml < before - 0.5)


def test_the_threshold_starts_from_the_segment_and_spares_the_others(visitor):
    page = visitor.page
    page.locator(".segment", has_text="right kidney").click()
    visitor.button("Threshold").click()
    low, high = (page.locator(".tool-options").get_by_label(name, exact=True) for name in ("From", "To"))
    before = visitor.rows()
    mean = float(before["right kidney"][2])
    until(lambda: low.input_value() and high.input_value(), "the range")
    until(lambda: abs(float(low.input_value()) + float(high.input_value()) - 2 * mean) <= 3, "the kidney's own range")
    assert "10 mm" in panel(visitor)
    was = high.input_value()
    for nothing in ("-300", ""):  # a range without any HU
        high.fill(nothing)
        high.press("Tab")
        until(visitor.button("Apply").is_disabled, "nothing to apply", 20)
        high.fill(was)
        high.press("Tab")
        until(visitor.button("Apply").is_enabled, "something to apply", 20)
    visitor.button("Apply").click()
    measured(visitor)
    after = visitor.rows()
    assert {name for name in after if "right kidney" not in name} == {name for name in before if name != "right kidney"}
    for name in ("left kidney", "right tumor"):
        assert after[name][0] == before[name][0]
    visitor.button("Undo").click()
    until(lambda: not visitor.page.get_by_text("corrected by hand").is_visible(), "all to be as before", 20)
    until(lambda: visitor.rows() == before, "the numbers before", 20)


def test_the_range_of_a_threshold_is_still_and_covers_nothing(visitor):
    page = visitor.page
    page.locator("tr.jump", has_text="tumor").click()
    page.locator(".segment", has_text="kidney tumor").click()
    visitor.button("Threshold").click()
    for name, hu in (("From", "-2000"), ("To", "4000")):
        field = page.locator(".tool-options").get_by_label(name, exact=True)
        field.fill(hu)
        field.press("Tab")
    visitor.rest()
    box = page.locator("[data-view=Axial]").bounding_box()
    assert 0.03 < green(visitor, "Axial") / (box["width"] * box["height"]) < 0.5
    visitor.button("Look").click()


def test_what_is_corrected_is_seen_though_it_was_hidden(visitor):
    page = visitor.page
    page.locator("tr.jump", has_text="right kidney").click()
    page.locator(".segment", has_text="kidney tumor").click()
    visitor.button("Paint").click()
    visitor.button("Hide kidney tumor").click()
    visitor.button("Show kidney tumor").wait_for()
    page.keyboard.press("h")
    until(lambda: green(visitor, "Axial") < 50, "all to be hidden", 20)
    visitor.stroke(FAT, (60, 0))
    until(lambda: green(visitor, "Axial") > 300, "what was painted", 20)
    until(lambda: visitor.button("Hide").get_attribute("aria-pressed") == "false", "the page to know it", 20)
    visitor.button("Hide kidney tumor").wait_for()
    page.locator(".segment", has_text="right kidney").click()  # the step was none of its
    for keys in ("Control+z", "Control+y"):
        visitor.button("Hide kidney tumor").click()
        visitor.button("Show kidney tumor").wait_for()
        page.keyboard.press(keys)
        visitor.button("Hide kidney tumor").wait_for()
    measured(visitor)


def test_the_row_of_a_lesion_makes_it_something_else_by_keyboard_alone(visitor):
    page = visitor.page
    before, at = visitor.rows(), visitor.slice()
    seen = green(visitor, "Axial")
    visitor.button("Change right tumor").focus()
    page.keyboard.press("Enter")
    page.get_by_text("part of the right kidney").wait_for()
    for name in ("Make it a cyst", "kidney is there"):
        page.keyboard.press("ArrowDown")
        until(lambda name=name: name in page.evaluate("document.activeElement.innerText"), name, 20)
    page.keyboard.press("Enter")
    measured(visitor)
    after = visitor.rows()
    assert set(before) - set(after) == {"right tumor"}
    assert set(after) < set(before)
    volume = {name: float(row[0].lstrip("> ")) for name, row in before.items()}
    assert visitor.volume("right kidney") == pytest.approx(volume["right kidney"] + volume["right tumor"], abs=0.11)
    assert (before["right kidney"][3], after["right kidney"][3]) == ("90", "")  # nobody knows how certain it is now
    until(lambda: green(visitor, "Axial") < 0.02 * seen, "the tumor to be gone from the slices", 20)
    assert visitor.slice() == at  # the arrows were the menu's
    visitor.button("Undo").click()
    until(lambda: visitor.rows() == before, "the numbers before", 20)


def test_a_range_of_hu_limits_the_brush(visitor):
    page = visitor.page
    page.locator("tr.jump", has_text="right kidney").click()
    page.locator(".segment", has_text="right kidney").click()
    before = visitor.volume("right kidney")
    with limits(visitor) as part:
        part.get_by_label("Only in a range of HU").check()
        low = part.get_by_label("From", exact=True)
        until(lambda: low.is_visible() and float(low.input_value()) > 0, "the kidney's own range")
        visitor.button("Paint").click()
        visitor.rest()
        visitor.button("Where the tools work: limited").wait_for()
        visitor.stroke(FAT, (60, 0))
        page.wait_for_timeout(2500)
        in_fat = visitor.volume("right kidney")
        assert in_fat < before + 0.5
        low.fill("-200")
        low.press("Tab")
        page.wait_for_timeout(500)
        visitor.stroke(FAT, (60, 0))
        visitor.volume_becomes("right kidney", lambda ml: ml > in_fat + 0.5)


def test_warnings_that_a_stroke_rewrites_stay_folded(visitor):
    page = visitor.page
    page.locator("tr.jump", has_text="right kidney").click()
    page.locator(".segment", has_text="kidney tumor").click()
    visitor.button("Paint").click()
    page.wait_for_timeout(500)
    visitor.stroke(FAT, (8, 0))
    fold = page.locator(".messages .heading", has_text="Fold")
    until(fold.count, "a warning of a tumor in fat")
    fold.click()
    texts = "window.trame.state.state.PageState__warnings"
    before = page.evaluate(texts)
    visitor.stroke((FAT[0], FAT[1] + 0.03), (8, 0))  # the same tumor becomes larger
    until(lambda: page.evaluate(texts) != before, "other warnings")
    page.wait_for_timeout(300)
    assert page.locator(".messages .heading", has_text="Show").count() == 1


def test_what_is_painted_into_an_empty_result_is_seen_in_3d(call, truth, tmp_path):
    made = phantom.make(**EMPTY)
    made.affine[:3, 3] += (400, -500, 900)  # far from where 3D looks at first
    phantom.save_nifti(made.hu, made.affine, tmp_path / "empty.nii.gz")
    for what in ("labels", "uncertainty"):
        np.save(truth / f"26x116x144_{what}.npy", np.zeros(EMPTY["shape"], np.uint8))
    visitor = call()
    visitor.upload(tmp_path / "empty.nii.gz")
    visitor.sees("26 × 116 × 144 voxels")
    visitor.button("Segment").click()
    visitor.sees("Nothing is marked")
    visitor.page.locator(".segment", has_text="kidney tumor").click()
    visitor.button("Paint").click()
    visitor.rest()
    visitor.stroke((0.3, 0.3), (20, 0))
    visitor.page.locator("tr.jump").first.wait_for()
    visitor.button("Look").click()
    visitor.rest(3)
    assert green(visitor, "ThreeD") > 100
    visitor.button("Paint").click()
    visitor.page.get_by_label("A ball").uncheck()
    for count in (2, 3):  # one slice, and the next but one
        visitor.page.mouse.click(*visitor.place("Axial", 0.6, 0.6))
        until(lambda count=count: len(visitor.rows()) == count, "what was drawn")
        at = visitor.slice() + 2
        for _ in range(2):
            visitor.page.mouse.wheel(0, 100)
        until(lambda at=at: visitor.slice() == at, "two slices on")
    visitor.button("Draw").click()
    visitor.button("Fill between the slices").click()
    until(lambda: len(visitor.rows()) == 2, "one body of the two slices")
