"""A segmentation that was saved is opened again, on its own CT; and nobody is asked about work that is not lost."""

import csv
import json
import shutil

import numpy as np
import pytest
from wpunet import files
from wpunet.label_maps import LabelMap
from wpunet.volume import from_array

from Testing import phantom
from Testing.view.conftest import SHOTS, SMALL, phantom_ct, serving
from Testing.view.test_page import BESIDE
from Testing.view.visitor import until

ELSEWHERE = (0.1, 0.8)  # where BESIDE has left nothing


@pytest.fixture
def opened_ct(call, small_ct):
    visitor = call()
    visitor.upload(small_ct)
    visitor.sees("30 × 116 × 144 voxels")
    return visitor


@pytest.fixture(scope="module")
def other_ct(tmp_path_factory):
    """A CT on another grid."""
    return phantom_ct(tmp_path_factory.mktemp("other") / "patient 9.nii.gz", SMALL | {"shape": (26, 116, 144)})


def asked(visitor):
    """Whether the question before corrections are replaced is open."""
    return visitor.button("Keep my corrections").count() > 0


def unsaved(visitor):
    return visitor.page.evaluate("window.trame.state.state.PageState__unsaved")


def names(visitor):
    """What the results table names, as the page knows it: safe while the table is drawn anew."""
    return set(visitor.page.evaluate("window.trame.state.state.PageState__rows.map((row) => row.name)"))


def painted(visitor, place=BESIDE):
    """Paint, wait until it is measured, and give the volume of the right kidney."""
    before = visitor.volume("right kidney")
    visitor.button("Paint").click()
    visitor.page.wait_for_timeout(500)
    visitor.stroke(place, (120, 0))
    ml = visitor.volume_becomes("right kidney", lambda ml: ml > before + 1)
    visitor.button("Look").click()
    return ml


def test_what_was_corrected_and_saved_is_opened_again_and_corrected_further(opened_ct, call, small_ct, tmp_path):
    visitor = opened_ct
    visitor.segment()
    visitor.sees("Tumor 1 of 1")
    ml = painted(visitor)
    rows = visitor.rows()
    saved = [visitor.save(ending, tmp_path) for ending in ("seg.nrrd", "nii.gz", "zip")]

    again = call()
    again.upload(saved[0])
    again.sees("marks something in a CT and is none itself; open its CT first")
    again.upload(small_ct)
    again.sees("30 × 116 × 144 voxels")
    again.at_leisure()
    again.drop(saved[0])
    again.sees("Results, opened from patient_7.seg.nrrd")
    until(lambda: len(again.rows()) == len(rows), "the segments to be measured")
    assert {name: row[:3] for name, row in again.rows().items()} == {name: row[:3] for name, row in rows.items()}
    assert all(row[3] == "" for row in again.rows().values())  # nobody knows how certain they are
    again.sees("No uncertain place")
    assert again.page.get_by_label("Uncertainty", exact=True).count() == 0
    again.page.keyboard.press("u")
    again.rest()
    assert not again.page.get_by_text("Chance to be wrong").is_visible()
    assert not again.page.get_by_text("corrected by hand").count()
    again.page.screenshot(path=SHOTS / "reopened.png")

    told = json.loads(again.save("json", tmp_path).read_text())
    assert told["opened_from"] == "patient_7.seg.nrrd"
    assert (told["versions"]["network"], told["runtime"], told["seconds"]) == ("", "", {})
    assert told["corrected_by_hand"] is None
    further = painted(again, ELSEWHERE)
    assert further > ml
    again.sees("corrected by hand")
    again.button("Undo").click()
    again.volume_becomes("right kidney", lambda now: now == ml)
    until(lambda: not again.page.get_by_text("corrected by hand").count(), "the file's own segments to be known again")
    assert not unsaved(again)

    for path in saved[1:]:  # KiTS19's labels, where a cyst is kidney, and the training case with its CT, where it is 4
        there = set(rows) - ({"left cyst"} if path.suffix != ".zip" else set())
        again.upload(path)
        again.sees(f"opened from {'segmentation.nii.gz' if path.suffix == '.zip' else path.name}")
        until(again.button("Redo").is_disabled, "no step of what was there before to come back", 20)
        until(lambda there=there: names(again) == there, f"the segments of {path.name}")
        for name in ("right kidney", "right tumor"):
            assert again.rows()[name][:3] == rows[name][:3], path.name
    assert not again.complaints


def test_nobody_is_asked_after_saving_nor_for_a_file_that_cannot_be_opened(opened_ct, small_ct, other_ct, tmp_path):
    visitor = opened_ct
    page = visitor.page
    page.on("dialog", lambda dialog: pytest.fail(f"the browser asks: {dialog.message}"))
    visitor.segment()
    visitor.sees("Tumor 1 of 1")
    first = visitor.save("seg.nrrd", tmp_path)
    kept = shutil.copy(first, tmp_path / "first.seg.nrrd")
    ml = painted(visitor)

    (tmp_path / "letter.txt").write_text("Dear colleague")
    visitor.upload(tmp_path / "letter.txt")  # nothing would be lost
    visitor.sees("letter.txt is of an unknown kind")
    assert not asked(visitor)
    visitor.save("csv", tmp_path)  # holds no segments
    assert unsaved(visitor)

    for path in (kept, other_ct):
        visitor.upload(path)
        visitor.sees("would take their place")
        page.screenshot(path=SHOTS / "question.png")
        visitor.button("Keep my corrections").click()
        page.get_by_role("dialog").wait_for(state="hidden")
        visitor.rest()
        assert visitor.volume("right kidney") == ml
        assert page.title().startswith("patient 7")
    visitor.upload(kept)
    visitor.button("Replace them").click()
    visitor.volume_becomes("right kidney", lambda now: now < ml)

    painted(visitor)
    visitor.save("seg.nrrd", tmp_path)
    until(lambda: not unsaved(visitor), "the page to know that it is saved")
    visitor.sees("corrected by hand")
    visitor.upload(other_ct)
    visitor.sees("26 × 116 × 144 voxels")
    assert not asked(visitor)
    visitor.upload(first)
    visitor.sees("patient_7.seg.nrrd has")
    visitor.sees("it is not resampled: open the CT it was made of.")
    assert not page.locator("tr.jump").count()
    assert not visitor.complaints


def test_a_segmentation_is_opened_from_the_command_line(browser, truth, small_ct, tmp_path):
    made = phantom.make(**SMALL)
    path = tmp_path / "kidneys.nii.gz"
    phantom.save_nifti(np.minimum(made.labels, 2).astype(np.uint8), made.affine, path)
    with serving("--device", "cpu", small_ct, "--segmentation", path, truth=truth) as server:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(server.address)
        page.get_by_text("Results, opened from kidneys.nii.gz").wait_for()
        page.locator("tr.jump", has_text="left kidney").wait_for()
        assert not server.children("wpunet", "segment")
        page.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--segmentation", "{there}"], "needs its CT"),
        (["{there}", "--segmentation", "{there}", "--segment"], "give one of the two"),
        (["{there}", "--segmentation", "nowhere.nii.gz"], "nowhere.nii.gz does not exist"),
    ],
)
def test_what_cannot_be_opened_is_said_before_a_page_is(arguments, says, small_ct, capfd):
    from wpunet import cli

    given = [one.format(there=small_ct) for one in arguments]
    assert cli.main(["view", "--no-browser", *given]) == 2
    assert says in capfd.readouterr().err


@pytest.fixture
def findings(made, labels):
    """What a file marks in a CT, and that CT."""
    from wpunet_view.findings import Findings

    return Findings.of_file(LabelMap(labels, False, ()), "kidneys.nii.gz", ()), from_array(made.hu, made.affine, "x")


def test_nothing_that_is_saved_of_an_opened_file_says_that_a_network_made_it(findings, labels, tmp_path):
    jsonschema = pytest.importorskip("jsonschema", reason="needs the extra test")
    from wpunet.report import schema
    from wpunet_view import saving

    opened, volume = findings
    for corrected, told in ((False, ""), (True, "yes")):
        now = labels.copy()
        if corrected:
            now[labels == 2] = 1
        result = opened.measured(volume, now)
        values = result.report.to_json_dict()
        jsonschema.validate(values, schema())
        assert values["corrected_by_hand"] is (True if corrected else None)
        assert (values["opened_from"], values["versions"]["network_sha256"]) == ("kidneys.nii.gz", "")
        assert all(one["certainty"] is None for one in values["structures"])
        saving.write(tmp_path / "x.csv", result)
        with (tmp_path / "x.csv").open() as file:
            assert {row["corrected_by_hand"] for row in csv.DictReader(file)} == {told}
        with pytest.raises(saving.InputError, match="nobody knows"):
            saving.write(tmp_path / "x.uncertainty.nii.gz", result)


def test_parenchyma_alone_stays_what_it_is(made, labels, tmp_path):
    from wpunet import label_maps, outputs
    from wpunet.labels import BY_SIDE
    from wpunet_view import saving
    from wpunet_view.findings import Findings

    volume = from_array(made.hu, made.affine, "x")
    files.write_labels(tmp_path / "x.seg.nrrd", labels, volume, BY_SIDE, parenchyma=True)
    opened = Findings.of_file(label_maps.read(tmp_path / "x.seg.nrrd", volume), "x.seg.nrrd", ())
    result = opened.measured(volume, labels)
    assert any("parenchyma alone" in str(one) for one in result.report.warnings)
    scores = [one.nephrometry for one in result.report.structures if one.nephrometry is not None]
    assert {one.missing for one in scores} == {"kidneys are their parenchyma alone"}
    saving.write(tmp_path / "y.nii.gz", result)
    assert outputs.holds_parenchyma(tmp_path / "y.nii.gz")
    with pytest.raises(saving.InputError, match="takes whole ones"):
        saving.write(tmp_path / "y.zip", result)


def test_what_was_saved_last_is_not_lost(findings, labels):
    opened, volume = findings
    changed = [labels.copy(), labels.copy()]
    changed[0][labels == 2] = 1
    changed[1][labels == 2] = 4
    opened.take(opened.measured(volume, changed[0]))
    assert opened.corrected
    assert opened.unsaved
    opened.saved(changed[0])
    assert opened.corrected
    assert not opened.unsaved
    for now, lost in ((changed[1], True), (changed[0].copy(), False), (labels, False)):
        opened.take(opened.measured(volume, now))
        assert opened.unsaved == lost
