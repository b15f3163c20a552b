"""Every report is as report.schema.json says, and can be read back."""

import copy
import csv
import io
import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from wpunet import table
from wpunet.labels import CYST, TUMOR
from wpunet.report import cautions_of, schema, structures_of
from wpunet.segment import Options
from wpunet.sides import split_sides
from wpunet.volume import from_array

from Testing.wpunet.anatomy import AFFINE, body, empty, kidneys, put
from Testing.wpunet.results import result_of


def reported(labels):
    """The report of these labels, and the same as JSON."""
    labels, _ = split_sides(labels, body())
    hu = body()
    hu[labels > 0] = 150
    result = result_of(from_array(hu, AFFINE, "case"), labels, ("A warning.",))
    return result.report, json.loads(json.dumps(result.report.to_json_dict()))


def all_kinds():
    labels = put(kidneys(), TUMOR, (45, 47, 115), (5, 5, 5))
    labels = put(labels, TUMOR, (20, 60, 45), (3, 3, 3))
    return put(labels, CYST, (60, 60, 45), (5, 5, 5))


@pytest.fixture(scope="module")
def check():
    return jsonschema.validators.validator_for(schema())(schema())


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("labels", [all_kinds(), kidneys(), kidneys(left=False), empty()])
def test_a_report_is_valid(check, labels):
    check.validate(reported(labels)[1])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report.pop("structures"),
        lambda report: report.update(extra=1),
        lambda report: report["structures"][0].update(axial_diameter_mm=1.0),
        lambda report: report["structures"][0].pop("length"),
        lambda report: report["structures"][2].update(certainty=1.5),
        lambda report: report["structures"][2]["diameter"]["ends"].pop(),
        lambda report: report["structures"][2]["nephrometry"].update(total=3),
        lambda report: report["structures"][0]["centre"].pop("lps_mm"),
        lambda report: report["warnings"].append("a sentence"),
        lambda report: report.update(schema="wpunet-report/0"),
    ],
)
def test_a_spoiled_report_is_not(check, spoil):
    report = copy.deepcopy(reported(all_kinds())[1])
    spoil(report)
    assert not check.is_valid(report)


def test_a_report_can_be_read_back():
    told, values = reported(all_kinds())
    read = structures_of(values)
    assert [one.name for one in read] == [one.name for one in told.structures]
    for one, before in zip(read, told.structures, strict=True):
        assert one.fingerprint == before.fingerprint
        assert one.size.mm == pytest.approx(before.size.mm, abs=1e-3)
        assert np.allclose(one.size.ends_ras_mm, before.size.ends_ras_mm, atol=0.01)
        assert (one.nephrometry and one.nephrometry.text) == (before.nephrometry and before.nephrometry.text)
    assert [one.text for one in cautions_of(values)] == [one.text for one in told.warnings]
    assert structures_of({"structures": [{}], "warnings": []}) == []  # of a version before


@pytest.mark.parametrize("corrected", [True, None])
def test_a_report_of_an_opened_file_is_valid(check, corrected):
    of_file = replace(reported(all_kinds())[0], network="", network_sha256="", runtime="", seconds={})
    values = replace(of_file, opened_from="x.nii.gz", corrected=corrected).to_json_dict()
    check.validate(json.loads(json.dumps(values)))
    assert (values["opened_from"], values["corrected_by_hand"]) == ("x.nii.gz", corrected)


def test_indices_are_the_files_own():
    """A file whose axes run otherwise: its voxel at a tumor's index is the tumor's."""
    labels = all_kinds()
    turned = np.zeros((4, 4))
    turned[0, 2], turned[1, 0], turned[2, 1], turned[3, 3] = -1, 1, 1, 1  # our slices are its third axis, backwards
    turned[0, 3] = labels.shape[0] - 1
    hu = body().transpose(1, 2, 0)[:, :, ::-1]
    sided, _ = split_sides(labels, body())
    result = result_of(from_array(hu, AFFINE @ turned, "turned"), sided)
    stored = sided.transpose(1, 2, 0)[:, :, ::-1]
    values = result.report.to_json_dict()
    assert values["input"]["shape"] == list(stored.shape)
    tumor = next(one for one in values["structures"] if one["kind"] == "tumor")
    assert stored[tuple(tumor["centre"]["index"])] == TUMOR
    x, y, z = tumor["centre"]["ras_mm"]
    assert tumor["centre"]["lps_mm"] == [-x, -y, z]
    place = np.array(values["input"]["affine_ras"]) @ [*tumor["centre"]["index"], 1]
    assert np.allclose(place[:3], [x, y, z], atol=1.1)


def test_options_are_told():
    from dataclasses import asdict

    options = json.loads(json.dumps(asdict(Options(full=True, box=((0, 5), (1, 6), (2, 7))))))
    assert options["full"] is True
    assert options["rules"]["pair"] is True
    assert options["box"] == [[0, 5], [1, 6], [2, 7]]


def test_the_table_has_a_row_for_each_structure():
    told, _ = reported(all_kinds())
    rows = list(csv.DictReader(io.StringIO(table.as_csv(told.structures, 'Müller, "A"'))))
    assert [row["structure"] for row in rows] == [one.name for one in told.structures]
    assert {row["case"] for row in rows} == {'Müller, "A"'}
    assert {row["corrected_by_hand"] for row in rows} == {""}  # nobody has said
    assert float(rows[0]["length_mm"]) == pytest.approx(told.structures[0].length.mm, abs=0.01)
    assert rows[0]["diameter_mm"] == rows[0]["nephrometry"] == ""
    assert rows[2]["kind"] == "tumor"
    assert float(rows[2]["diameter_mm"]) == pytest.approx(told.structures[2].diameter.mm, abs=0.01)
    assert rows[2]["nephrometry_radius"] == "1"
