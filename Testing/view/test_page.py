"""The page as a person uses it: a real browser against the running program."""

import json
import os
import signal
import zipfile

import nibabel as nib
import numpy as np
import pytest
from wpunet_view.opening import the_phantom
from wpunet_view.server import MOST_SESSIONS

from Testing.view.conftest import KEEP_SECONDS, SHOTS, UPLOAD_MB, serving
from Testing.view.visitor import Visitor, until


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


BESIDE = (0.1, 0.2)  # a place in the axial view, in shares of it, beside the kidney that fills its middle


def test_the_phantom_is_segmented_corrected_and_saved(visit, tmp_path):
    truth = the_phantom()
    visitor = visit()
    page = visitor.page
    visitor.button("Try it with the phantom").click()
    visitor.sees("120 × 256 × 256 voxels")
    assert page.get_by_role("button", name="Save").count() == 0
    visitor.segment()
    until(lambda: len(visitor.rows()) >= 2, "both kidneys")
    page.wait_for_timeout(1500)
    page.screenshot(path=SHOTS / "segmented.png")

    saved = nib.load(visitor.save("nii.gz", tmp_path))  # against the truth, through the saved file
    labels = np.asarray(saved.dataobj)
    assert np.allclose(saved.affine, truth.affine, atol=1e-3)
    assert dice(labels > 0, truth.labels > 0) > 0.9
    report = json.loads(visitor.save("json", tmp_path).read_text())
    assert not report["corrected_by_hand"]
    voxel_ml = abs(np.linalg.det(saved.affine[:3, :3])) / 1000
    right = next(one for one in report["structures"] if (one["kind"], one["side"]) == ("kidney", "right"))
    assert visitor.volume("right kidney") == pytest.approx(right["volume_ml"], abs=0.06)
    assert sum(one["volume_ml"] for one in report["structures"]) == pytest.approx(
        (labels > 0).sum() * voxel_ml, rel=1e-3
    )

    page.locator("tr.jump", has_text="right kidney").click()  # to the middle of the kidney, in all three views
    for view, mm in zip(("Sagittal", "Coronal", "Axial"), right["centre"]["ras_mm"], strict=True):
        until(lambda view=view, mm=mm: abs(visitor.position(view) - mm) < 3, f"the {view} view to jump")

    before = visitor.volume("right kidney")
    visitor.button("Paint").click()
    page.wait_for_timeout(500)
    visitor.stroke(BESIDE, (120, 0))
    painted = visitor.volume_becomes("right kidney", lambda ml: ml > before + 1)
    visitor.sees("corrected by hand")
    visitor.button("Erase").click()
    page.wait_for_timeout(500)
    visitor.stroke(BESIDE, (20, 0))
    erased = visitor.volume_becomes("right kidney", lambda ml: before < ml < painted)
    page.screenshot(path=SHOTS / "corrected.png")
    report = json.loads(visitor.save("json", tmp_path).read_text())
    assert report["corrected_by_hand"]
    assert max(one["volume_ml"] for one in report["structures"]) == pytest.approx(erased, abs=0.06)

    visitor.button("Segment again").click()  # corrections are not replaced without a question
    visitor.button("Keep my corrections").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    assert visitor.volume("right kidney") == erased
    visitor.button("Undo").click()
    visitor.volume_becomes("right kidney", lambda ml: ml == painted)
    page.keyboard.press("Control+z")
    visitor.volume_becomes("right kidney", lambda ml: ml == before)
    visitor.button("Redo").click()
    visitor.volume_becomes("right kidney", lambda ml: ml == painted)
    page.keyboard.press("Control+z")
    visitor.volume_becomes("right kidney", lambda ml: ml == before)
    assert not visitor.complaints


def test_undo_and_redo_leave_the_kidneys_see_through_and_hidden_segments_hidden(call, small_ct):
    visitor = call()
    page = visitor.page
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    visitor.segment()
    visitor.sees("Tumor 1 of 1")
    visitor.button("Hide left kidney").click()
    visitor.button("Show left kidney").wait_for()
    visitor.rest()
    whole, before = visitor.pixels("ThreeD"), visitor.volume("right kidney")
    visitor.button("Paint").click()
    page.wait_for_timeout(500)
    visitor.stroke(BESIDE, (120, 0))
    painted = visitor.volume_becomes("right kidney", lambda ml: ml > before + 1)
    visitor.button("Look").click()  # without the brush, which is seen in 3D too
    visitor.rest()
    more = visitor.pixels("ThreeD")
    for step, ml, picture in (
        (visitor.button("Undo").click, before, whole),
        (visitor.button("Redo").click, painted, more),
        (lambda: page.keyboard.press("Control+z"), before, whole),
        (lambda: page.keyboard.press("Control+y"), painted, more),
    ):
        step()
        visitor.volume_becomes("right kidney", lambda now, ml=ml: now == ml)
        visitor.rest()
        assert visitor.pixels("ThreeD") == picture
        assert visitor.button("Show left kidney").is_visible()
    assert not visitor.complaints


def test_review_and_display(visit, small_ct, tmp_path):
    visitor = visit()
    page = visitor.page
    visitor.upload(small_ct)
    visitor.sees("patient 7")
    visitor.segment()
    count = sum("tumor" in name for name in visitor.rows())
    assert count >= 1
    visitor.sees(f"Tumor 1 of {count}")
    here = [visitor.position(view) for view in ("Axial", "Coronal", "Sagittal")]
    page.mouse.move(*visitor.place("Coronal", 0.5, 0.4))
    page.mouse.move(*visitor.place("Coronal"), steps=2)
    until(lambda: "HU" in visitor.over("Coronal"), "the pointer to be noticed")
    page.keyboard.press("ArrowUp")
    until(lambda: abs(abs(visitor.position("Coronal") - here[1]) - 2.8) < 0.3, "one slice further")
    page.keyboard.press("n")
    until(lambda: visitor.position("Coronal") == here[1] or count > 1, "the tumor again")

    def picture():
        return page.screenshot(clip=page.locator("[data-view=Axial]").bounding_box())

    still = settled(picture, page)
    page.get_by_label("Uncertainty", exact=True).click()
    until(lambda: picture() != still, "the uncertainty to show")
    page.get_by_label("Uncertainty", exact=True).click()
    until(lambda: picture() == still, "the uncertainty to go")
    page.keyboard.press("3")
    until(lambda: picture() != still, "another window")
    page.keyboard.press("1")
    until(lambda: picture() == still, "the window before")
    visitor.button("Hide kidney tumor").click()
    until(lambda: picture() != still, "the tumor to go")
    for tool in ("Draw", "Scissors", "Threshold", "Islands", "Smooth"):
        visitor.button(tool).click()
        page.locator(".tool-options").locator("label, button, .v-slider").first.wait_for()
    with zipfile.ZipFile(visitor.save("zip", tmp_path)) as archive:
        assert sorted(archive.namelist()) == ["patient_7/imaging.nii.gz", "patient_7/segmentation.nii.gz"]
    assert not visitor.complaints


def settled(picture, page):
    """A picture that no longer changes."""
    last = None
    while (now := picture()) != last:
        last = now
        page.wait_for_timeout(600)
    return now


def test_cancel_reload_and_the_end_of_a_page(visit, server):
    visitor = visit()
    page = visitor.page
    visitor.button("Try it with the phantom").click()
    visitor.sees("120 × 256 × 256 voxels")
    visitor.button("Options").click()
    page.evaluate("window.trame.client.beginBusy()")  # a picture is under way: what is ticked waits for it
    page.get_by_label("Search the whole field of view").check()  # gives the time to press Cancel
    visitor.button("Segment").click()
    page.evaluate("window.trame.client.endBusy()")
    (engine,) = until(lambda: server.children("wpunet", "segment", "--full"), "the engine to start")
    os.kill(engine, signal.SIGSTOP)  # so that it is still at work when Cancel is pressed, however fast it is
    visitor.button("Cancel").wait_for()
    visitor.button("Help").click()  # the page answers while the engine works
    visitor.sees("Keys and mouse")
    visitor.button("Close").click()
    os.kill(engine, signal.SIGCONT)
    visitor.button("Cancel").click()
    visitor.button("Segment").wait_for()
    until(lambda: not server.children("wpunet", "segment"), "the engine to end")
    assert page.locator("tr.jump").count() == 0
    visitor.button("Options").click()
    page.get_by_label("Search the whole field of view").uncheck()

    visitor.button("Segment").click()
    (engine,) = until(lambda: server.children("wpunet", "segment"), "the engine to start")
    os.kill(engine, signal.SIGSTOP)
    page.reload()  # the run goes on, and the page finds it again
    visitor.button("Cancel").wait_for()
    assert server.children("wpunet", "segment") == [engine]
    os.kill(engine, signal.SIGCONT)
    page.locator("tr.jump").first.wait_for()
    visitor.rest()  # 3D comes after the table

    visitor.button("Options").click()
    page.get_by_label("Mark the parenchyma alone").check()
    visitor.button("Segment again").click()
    (engine,) = until(lambda: server.children("wpunet", "segment", "--parenchyma"), "the engine to start")
    os.kill(engine, signal.SIGKILL)
    visitor.sees("The system ended the engine, probably for lack of memory")
    assert page.locator("tr.jump").count() >= 2  # what was there before is still there
    visitor.button("Segment again").click()
    visitor.sees("Kidneys are their parenchyma alone")

    visitor.button("Segment again").click()
    until(lambda: server.children("wpunet", "segment"), "the engine to start")
    page.close()
    until(lambda: not server.children("wpunet"), "the engine to end with its page", KEEP_SECONDS + 20)


def test_two_pages_do_not_see_each_other(visit, small_ct, tmp_path):
    one, other = visit(), visit()
    (tmp_path / "somebody else.nii.gz").write_bytes(small_ct.read_bytes())
    one.upload(small_ct)
    other.upload(tmp_path / "somebody else.nii.gz")
    one.sees("30 × 116 × 144 voxels")
    other.sees("30 × 116 × 144 voxels")
    one.segment()
    assert other.page.locator("tr.jump").count() == 0
    assert other.button("Segment").is_enabled()
    for visitor, own, foreign in ((one, "patient 7", "somebody else"), (other, "somebody else", "patient 7")):
        assert visitor.page.get_by_text(own).count() == 1
        assert visitor.page.title().startswith(own)
        assert visitor.page.get_by_text(foreign).count() == 0


def test_files_that_cannot_be_opened_are_told_in_one_sentence(visit, small_ct, tmp_path):
    visitor = visit()

    def file(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def archive(name, **entries):
        with zipfile.ZipFile(tmp_path / name, "w") as written:
            for path, content in entries.items():
                written.writestr(path.replace("__", "/"), content)
        return tmp_path / name

    whole = small_ct.read_bytes()
    for path, says in (
        (file("broken.nii.gz", whole[: len(whole) // 2]), "broken.nii.gz is"),
        (file("letter.txt", b"Dear colleague"), "letter.txt is of an unknown kind"),
        (file("large.nii", bytes((UPLOAD_MB + 1) * 1_000_000)), "larger than an upload may be"),
        (file("no.zip", b"PK no"), "no.zip cannot be unpacked"),
        (archive("empty.zip", readme="nothing"), "holds no CT"),
    ):
        visitor.upload(path)
        visitor.sees(says)
        error = visitor.page.locator(".messages .v-alert").first.inner_text()
        assert str(tmp_path) not in error
        assert "/tmp" not in error
        visitor.page.get_by_role("alert").get_by_role("button", name="Close").click()
    assert visitor.page.get_by_text("Kidneys and kidney tumors in CT").is_visible()
    visitor.upload(archive("two.zip", **{"a.nii.gz": whole, "b.nii.gz": whole}))
    visitor.sees("Several CTs were found")
    visitor.page.get_by_text("b.nii.gz").click()
    visitor.sees("30 × 116 × 144 voxels")


def test_an_upload_that_the_server_does_not_take_is_told(call, small_ct):
    visitor = call()
    visitor.page.route("**/upload/*", lambda route: route.fulfill(status=500, body="Internal Server Error"))
    visitor.upload(small_ct)
    visitor.sees("patient 7.nii.gz could not be sent")


def test_a_page_too_many_comes_by_itself_once_another_is_closed(browser):
    with serving("--keep", 1, "--device", "cpu") as server:
        pages = [browser.new_page() for _ in range(MOST_SESSIONS + 1)]
        try:
            for page in pages[:-1]:
                Visitor(page).open(server.address)
            pages[-1].goto(server.address)
            pages[-1].get_by_text("4 pages are open already").wait_for()
            pages[0].close()
            pages[-1].get_by_text("Try it with the phantom").wait_for(timeout=60_000)
        finally:
            for page in pages:
                page.close()
