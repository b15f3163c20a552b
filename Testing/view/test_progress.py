"""What the page tells while the engine works: no number that it cannot know, then a true one."""

import re

from Testing.view.conftest import serving
from Testing.view.visitor import Visitor, until

STEP = 0.3  # seconds; the engine takes thirty
NOTE = """() => {
  window.told = [];
  window.trame.state.addListener(() => {
    const { PageState__left: left, PageState__running: running } = window.trame.state.state;
    window.told.push([performance.now() / 1000, running, left]);
  });
}"""


def test_time_left_is_told_from_the_second_run_on_and_is_true_within_a_third(browser, truth, small_ct):
    with serving("--device", "cpu", truth=truth, step=STEP) as server:
        visitor = Visitor(browser.new_page()).open(server.address)
        visitor.upload(small_ct)
        visitor.sees("30 × 116 × 144 voxels")
        visitor.page.evaluate(NOTE)
        first, second = run(visitor, "Segment"), run(visitor, "Segment again")
        visitor.page.close()
    assert not [left for _, _, left in first if left]
    began, ended = second[0][0], second[-1][0]
    numbers = {
        at: int(re.fullmatch(r"about (\d+) s left", left)[1]) for at, running, left in second if left and running
    }
    late = {at: said for at, said in numbers.items() if at > began + 0.35 * (ended - began)}
    assert min(numbers) < began + 0.5 * (ended - began)
    for at, said in late.items():
        assert abs(said - (ended - at)) < (ended - at) / 3 + 1.5, (said, ended - at)  # whole seconds, and what follows


def run(visitor, button):
    """What was told in a run: seconds, whether it goes on, and the words."""
    visitor.page.evaluate("window.told = []")
    visitor.button(button).click()
    visitor.button("Cancel").wait_for()
    visitor.button("Segment again").wait_for()
    return until(lambda: visitor.page.evaluate("window.told"), "words")
