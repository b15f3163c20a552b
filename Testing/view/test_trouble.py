"""What goes wrong, or comes at the wrong moment, is told, and nobody's work is lost by it."""

import os
import re
import shutil
import signal
import socket
import zipfile

import pytest

from Testing.view.conftest import HEALTHY, phantom_ct, require_parts, serving
from Testing.view.test_page import BESIDE
from Testing.view.visitor import Visitor, until


@pytest.fixture(scope="module")
def gates(tmp_path_factory):
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def gated(truth, gates):
    """A server whose engine answers at once, and whose sessions can be held up."""
    require_parts(browser=False)
    with serving("--device", "cpu", "--keep", 1, truth=truth, gates=gates) as server:
        yield server


@pytest.fixture
def visitor(browser, gated, gates):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    yield Visitor(page).open(gated.address)
    page.close()
    for gate in gates.iterdir():
        gate.unlink()


@pytest.fixture(scope="module")
def healthy_ct(tmp_path_factory):
    return phantom_ct(tmp_path_factory.mktemp("healthy") / "patient 8.nii.gz", HEALTHY)


@pytest.fixture
def shut(gates):
    """A function that holds a function of the session up, or ends it with an error; gives what to remove."""

    def shut(name, error=""):
        (gates / name).write_text(error)
        return gates / name

    return shut


def reached(gate):
    """Wait until the session stands at a gate."""
    until(gate.with_name(f"{gate.name} reached").exists, f"the session to come to {gate.name}")


def test_the_unexpected_is_told_and_the_page_goes_on(visitor, shut, small_ct):
    gate = shut("wpunet_view.opening.read", "no such luck")
    visitor.upload(small_ct)
    visitor.sees("Unexpected error (RuntimeError: no such luck)")
    gate.unlink()
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    gate = shut("wpunet.places.uncertain_places", "nor here")
    visitor.button("Segment").click()
    visitor.sees("Unexpected error (RuntimeError: nor here)")
    gate.unlink()
    visitor.button("Segment").click()  # what was told stands until then
    visitor.page.locator("tr.jump").first.wait_for()


def test_an_upload_that_ends_half_way_is_told(visitor):
    server, port, page = re.fullmatch(r"http://([^:]+):(\d+)/(\w+)/.*", visitor.page.url).groups()
    with socket.create_connection((server, int(port))) as sender:
        head = f"POST /{page}/upload/half.nii HTTP/1.1\r\nHost: {server}:{port}\r\nContent-Length: 100000\r\n\r\n"
        sender.sendall(head.encode() + bytes(50_000))
        visitor.sees("Uploading half.nii")
    visitor.sees("half.nii did not arrive whole")
    until(visitor.button("Open CT").is_enabled, "the page to take another CT")


def test_a_result_is_never_laid_on_another_ct(visitor, shut, small_ct, healthy_ct):
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    gate = shut("wpunet.places.uncertain_places")
    visitor.button("Segment").click()
    reached(gate)
    assert visitor.button("Cancel").is_visible()  # so that no second run begins beside this one
    visitor.upload(healthy_ct)
    visitor.sees("28 × 116 × 144 voxels")
    gate.unlink()
    visitor.button("Segment").wait_for()
    visitor.rest()
    assert visitor.page.locator("tr.jump").count() == 0
    visitor.segment()
    visitor.sees("No tumor")


def test_another_ct_begins_without_rulers_limits_and_hidden_segments(visitor, small_ct, healthy_ct):
    page = visitor.page
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    visitor.segment()
    visitor.sees("Tumor 1 of 1")
    visitor.button("Ruler").click()
    visitor.drag("Axial", (0.3, 0.5), (0.7, 0.5))
    until(lambda: page.evaluate("window.trame.state.state.PageState__marks.length"), "the ruler")
    page.keyboard.press("h")
    visitor.button("Where the tools work").click()
    visitor.rest()  # 3D comes late, and what is ticked meanwhile may be told back as it was
    page.get_by_label("Only in a range of HU").check()
    visitor.button("Where the tools work: limited").wait_for()
    visitor.upload(healthy_ct)
    visitor.sees("28 × 116 × 144 voxels")
    assert page.evaluate("window.trame.state.state.PageState__marks.length") == 0
    visitor.segment()
    visitor.sees("No tumor")
    assert visitor.button("Hide").get_attribute("aria-pressed") == "false"
    visitor.button("Where the tools work").wait_for(timeout=20_000)


def test_what_was_corrected_a_moment_ago_is_not_replaced_without_a_question(visitor, gated, shut, small_ct):
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    visitor.segment()
    visitor.sees("Tumor 1 of 1")
    shut("wpunet.measure.measure")  # so that it is not known yet what the correction has changed
    paint(visitor)
    visitor.button("Segment again").click()
    visitor.button("Keep my corrections").click()
    assert not gated.children("wpunet", "segment")
    closing = "!window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert visitor.page.evaluate(closing)  # the browser would ask


def test_what_was_corrected_during_a_run_is_not_replaced_without_a_question(visitor, gated, shut, small_ct):
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    visitor.segment()
    visitor.sees("Tumor 1 of 1")
    before = visitor.volume("right kidney")

    visitor.button("Segment again").click()
    painted = painted_during_the_run(visitor, gated)
    visitor.button("Keep my corrections").click()
    visitor.button("Segment again").wait_for()
    visitor.rest()
    assert visitor.volume("right kidney") == painted
    visitor.button("Undo").click()
    visitor.volume_becomes("right kidney", lambda ml: ml == before)
    until(lambda: not visitor.page.get_by_text("corrected by hand").count(), "the engine's answer to be known again")

    visitor.button("Segment again").click()
    assert painted_during_the_run(visitor, gated) > before
    gate = shut("wpunet.measure.measure")
    visitor.button("Replace them").click()
    visitor.page.locator("tbody.old").wait_for()  # they are of the segments that were replaced
    until(visitor.button("Undo").is_disabled, "no step of theirs to come back")
    gate.unlink()
    visitor.volume_becomes("right kidney", lambda ml: ml == before)
    until(lambda: not visitor.page.locator("tbody.old").count(), "the numbers to be true again")
    visitor.rest()
    assert not gated.children("wpunet", "segment")
    assert not visitor.complaints


def paint(visitor):
    visitor.button("Paint").click()
    visitor.page.wait_for_timeout(500)
    visitor.stroke(BESIDE, (120, 0))


def painted_during_the_run(visitor, server):
    """Paint while the engine stands still, and let it end; gives the volume of the right kidney then."""
    before = visitor.volume("right kidney")
    (engine,) = until(lambda: server.children("wpunet", "segment"), "the engine to start")
    os.kill(engine, signal.SIGSTOP)
    paint(visitor)
    painted = visitor.volume_becomes("right kidney", lambda ml: ml > before)
    os.kill(engine, signal.SIGCONT)
    return painted


def test_only_one_ct_is_opened_at_a_time(visitor, shut, small_ct, healthy_ct):
    gate = shut("wpunet_view.opening.read")
    visitor.upload(small_ct)
    reached(gate)
    visitor.drop(healthy_ct)
    visitor.sees("Another CT is being opened")
    with visitor.page.expect_response("**/upload/*") as answer:  # one that the browser did not hold back
        visitor.page.evaluate("fetch('upload/else.nii', {method: 'POST', body: 'Dear colleague'})")
    assert answer.value.status == 409
    assert visitor.page.get_by_text("Reading patient 7").is_visible()
    gate.unlink()
    visitor.sees("30 × 116 × 144 voxels")
    visitor.at_leisure()
    visitor.drop(healthy_ct)
    visitor.sees("28 × 116 × 144 voxels")


def test_a_folder_without_files_is_told(visitor, tmp_path):
    (tmp_path / "study" / "series").mkdir(parents=True)
    visitor.drop(tmp_path / "study")
    visitor.sees("The folder is empty")


def test_a_choice_is_gone_once_something_else_is_opened(visitor, small_ct, healthy_ct, tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a.nii.gz", "b.nii.gz"):
            archive.write(small_ct, name)
    visitor.upload(tmp_path / "two.zip")
    visitor.sees("Several CTs were found")
    visitor.drop(healthy_ct)
    visitor.sees("28 × 116 × 144 voxels")
    visitor.page.get_by_text("Several CTs were found").wait_for(state="hidden")


def test_the_ct_that_was_chosen_is_segmented_where_the_command_line_says_so(browser, truth, small_ct, tmp_path):
    for name in ("case_00000", "case_00001"):  # KiTS19's layout
        (tmp_path / name).mkdir()
        shutil.copy(small_ct, tmp_path / name / "imaging.nii.gz")
    with serving("--device", "cpu", tmp_path, "--segment", truth=truth) as server:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(server.address)
        page.get_by_text("Several CTs were found").wait_for()
        page.get_by_text("case_00001/imaging.nii.gz").click()
        page.locator("tr.jump").first.wait_for()
        assert page.title().startswith("case_00001")
        page.close()


def test_a_page_says_that_it_has_ended_where_the_program_was_stopped(browser, small_ct):
    with serving("--device", "cpu", small_ct) as server:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(server.address)
        page.get_by_text("30 × 116 × 144 voxels").wait_for()
        ended = page.get_by_role("heading", name="This page has ended")
        assert not ended.count()
        server.process.send_signal(signal.SIGINT)  # as Ctrl-C does
        ended.wait_for()
        assert page.get_by_text("was stopped").is_visible()
        assert not page.get_by_text("Connection closed").count()
        assert server.process.wait(40) == 0
        assert ended.is_visible()
        page.close()
