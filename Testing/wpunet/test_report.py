"""The report says what was measured, with units, and warns of what a reader must know."""

import json
from dataclasses import replace

import numpy as np
import pytest
from wpunet import bundle, doubts, report, table
from wpunet.doubts import judge
from wpunet.measure import measure
from wpunet.sides import split_sides
from wpunet.structure import Caution, numbered
from wpunet.volume import from_array

from Testing.wpunet.anatomy import AFFINE, RIGHT, body, empty, kidneys, put


def warnings_of(labels, kidney_hu=180):
    labels, _ = split_sides(labels, body())
    hu = body()
    hu[labels > 0] = kidney_hu
    return judge(measure(labels, hu, AFFINE), labels, hu)[1]


def test_two_kidneys_with_contrast_need_no_warning():
    assert warnings_of(kidneys()) == ()


def cut_off():
    return put(empty(), 1, (2, 60, 45), (28, 13, 13)) | put(empty(), 1, (45, 60, 115), (28, 13, 13))


@pytest.mark.parametrize(
    ("labels", "kidney_hu", "says"),
    [
        (kidneys(), 35, "Probably without contrast (kidney tissue 35 HU)"),
        (kidneys(left=False), 180, "Only the right kidney was found."),
        (cut_off(), 180, "The right kidney is cut by the edge of the scan"),
        (put(kidneys(), 1, RIGHT, (40, 28, 28)), 180, "ml is unusual for a kidney (right kidney)"),
        (put(empty(), 2, RIGHT, (20, 20, 20)), 180, "Tumor but no kidney"),
        (empty(), 180, "No kidney was found"),
    ],
)
def test_each_warning(labels, kidney_hu, says):
    warnings = warnings_of(labels, kidney_hu)
    assert 1 <= len(warnings) <= 2
    assert [says in one.text for one in warnings].count(True) == 1


@pytest.fixture(scope="module")
def told():
    labels, _ = split_sides(put(kidneys(), 2, (45, 47, 115), (5, 5, 5)), body())
    structures = measure(labels, body(), AFFINE, lambda _: 0.9)
    return report.Report.of(
        from_array(body(), AFFINE, "case 7"),
        structures,
        warnings=(Caution("input", "A warning."),),
        notes=("A note.",),
        weights=bundle.load(),
        runtime="OpenVINO",
        seconds={"read": 0.51234, "predict": 2.0},
    )


def test_json_has_units_versions_and_plain_numbers(told):
    values = json.loads(json.dumps(told.to_json_dict()))
    assert [one["kind"] for one in values["structures"]] == ["kidney", "kidney", "tumor"]
    assert values["input"]["shape"] == [90, 100, 160]
    assert values["input"]["spacing_mm"] == [2.0, 2.0, 2.0]
    assert len(values["versions"]["network_sha256"]) == 64
    assert values["seconds"] == {"read": 0.512, "predict": 2.0}
    assert values["warnings"] == [{"code": "input", "text": "A warning.", "structure": None}]
    assert "not a medical device" in values["intended_use"]


def test_a_place_is_told_with_the_nearest_voxel():
    place = report.places(np.diag([-2.0, -2.0, 3.0, 1.0]))
    assert place((-5.2, -4.6, 5.1)) == {"ras_mm": [-5.2, -4.6, 5.1], "lps_mm": [5.2, 4.6, 5.1], "index": [3, 2, 2]}


def test_several_tumors_can_be_told_apart(told):
    tumor = replace(told.structures[2], touches_border=True)
    several = replace(told, structures=numbered((*told.structures[:2], tumor, tumor)))
    _, warnings = judge(several.structures, kidneys(), body())
    for name in ("left tumor 1", "left tumor 2"):
        assert f"  {name} " in several.table()
        assert any(f"The {name} is cut" in one.text and one.about == name for one in warnings)


def test_the_table_fits_a_terminal(told):
    text = told.table()
    assert "left tumor" in text
    assert "! A warning." in text
    assert "- A note." in text
    assert "2.5 s" in text
    assert max(map(len, text.splitlines())) < 110


def test_no_number_reads_minus_zero(told):
    one = replace(told.structures[0], mean_hu=-0.3, centre_ras_mm=(-0.2, 0.0, 0.1))
    text = replace(told, structures=(one,)).table()
    assert " 0 HU" in text
    assert "0, 0, 0" in text
    assert "-0.0" not in table.as_csv([replace(one, centre_ras_mm=(-0.04, 0.0, 0.1))], "a")
    tumor = replace(told.structures[2], doubts=("water",), core_hu=-0.4)
    assert "(0 HU inside)" in str(doubts._sentence(tumor, 1))


@pytest.mark.parametrize(("kidney_hu", "phase"), [(60, "plain"), (80, "nephrographic")])
def test_the_phase_is_the_one_that_the_warnings_tell(told, kidney_hu, phase):
    """Fat in a kidney's outline lowers its mean, not its median."""
    labels, _ = split_sides(kidneys(), body())
    hu = body()
    hu[labels > 0] = kidney_hu
    hu[1::3][labels[1::3] > 0] = kidney_hu - 40
    structures = measure(labels, hu, AFFINE)
    warnings = judge(structures, labels, hu)[1]
    assert structures[0].mean_hu < 75
    assert replace(told, structures=structures, warnings=warnings).to_json_dict()["phase"] == phase
    assert any("without contrast" in one.text for one in warnings) == (phase == "plain")
