"""The correction tools under a hand: what they change, what they leave alone, and in which words they are offered."""

from contextlib import contextmanager

import pytest

from Testing.view.conftest import until

EMPTY = {"seed": 3, "shape": (26, 116, 144), "spacing": (8.0, 2.8, 2.8)}  # nothing is found in it
FAT = (0.1, 0.2)  # a place in the axial view, in shares of it, beside the kidney that fills its middle


@pytest.fixture(scope="module")
def segmented(opened):
    opened.segment()
    opened.sees("Tumor 1 of 1")
    opened.rest()
    return opened


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
    yield part
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
