"""Cases as they were written, patients on one side only."""

import json

import numpy as np
import pytest
from wpunet.errors import InputError

from training.data import (
    Case,
    case_names,
    levels_of_whole_ct,
    read_case,
    read_prepared,
    read_split,
    split_patients,
    to_grey,
    write_case,
    write_split,
)

PATIENTS = [f"case_{k:05}" for k in range(40)]


def test_a_case_survives_the_file(tmp_path):
    g = np.random.default_rng(0)
    case = Case("a", "labelled", 0.8, g.integers(0, 256, (3, 5, 4), np.uint8), g.integers(0, 3, (3, 5, 4), np.uint8))
    write_case(case, tmp_path / "a.safetensors", {"fingerprint": "f"})
    again = read_case(tmp_path / "a.safetensors")
    assert (again.name, again.group, again.pixel_mm, again.digest) == ("a", "labelled", 0.8, case.digest)
    assert np.array_equal(again.grey, case.grey)
    assert np.array_equal(again.labels, case.labels)


def test_hu_survive_within_two(tmp_path):
    hu = np.arange(-500, 521, dtype=np.int16)
    case = Case("a", "labelled", 1.0, to_grey(hu)[None, None], np.zeros((1, 1, hu.size), np.uint8))
    assert np.abs(case.hu[0, 0] - hu).max() <= 2
    assert to_grey(np.array([-3000, 3000])).tolist() == [0, 255]


def test_whole_ct_give_their_levels_without_kidney_and_without_tumor():
    labels = np.zeros((90, 4, 4), np.uint8)
    labels[20:60, 1, 1] = 1
    labels[30:50, 2, 2] = 2
    grey = np.arange(90, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    above, below, beside = levels_of_whole_ct([Case("a", "labelled", 0.8, grey, labels)])
    assert [(one.name, one.group) for one in (above, below, beside)] == [
        ("a above", "kidney_free"),
        ("a below", "kidney_free"),
        ("a beside", "tumor_free"),
    ]
    assert above.grey[:, 0, 0].tolist() == list(range(20))
    assert below.grey[:, 0, 0].tolist() == list(range(60, 90))
    assert beside.grey[:, 0, 0].tolist() == [*range(20, 30), *range(50, 60)]
    assert [one.labels.any((1, 2)).mean() for one in (above, below, beside)] == [0, 0, 1]
    assert beside.labels.max() == 1
    single_slices = Case("b", "labelled", 0.8, grey[25:50], labels[25:50])
    assert levels_of_whole_ct([single_slices]) == []


def test_damaged_and_missing_cases_are_named(prepared, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"bad\.safetensors is damaged"):
        read_case(tmp_path / "bad.safetensors")
    odd = Case("odd", "labelled", 1.0, np.zeros((2, 4, 4), np.uint8), np.zeros((1, 4, 4), np.uint8))
    write_case(odd, tmp_path / "odd.safetensors", {})
    with pytest.raises(InputError, match="shapes differ"):
        read_case(tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match="no case case_99999"):
        read_prepared(prepared, "labelled", ["case_99999"])
    with pytest.raises(InputError, match="no prepared set"):
        case_names(tmp_path, "labelled")


def test_only_what_the_last_preparation_stands_by_is_read(prepared, tmp_path):
    stray = Case("stray", "labelled", 1.0, np.zeros((1, 4, 4), np.uint8), np.ones((1, 4, 4), np.uint8))
    write_case(stray, tmp_path / "labelled" / "stray.safetensors", {})
    (tmp_path / "prepared.json").write_text(json.dumps({"prepared": {}, "left_out": {}}))
    assert read_prepared(tmp_path, "labelled") == []
    assert len(read_prepared(prepared, "labelled")) == 6
    assert len(read_prepared(prepared, "kidney_free")) == 1


def test_no_patient_is_on_both_sides_and_all_are_held_out_once():
    held = []
    for fold in range(4):
        training, held_out = split_patients(PATIENTS, 10, fold, sealed=("case_00000",))
        assert not set(training) & set(held_out)
        assert sorted(training + held_out) == PATIENTS[1:]
        held += held_out
    assert sorted(held) == PATIENTS[1:]
    assert split_patients(PATIENTS, 10)[1] == split_patients(PATIENTS[::-1], 10)[1]


def test_nobody_need_be_held_out():
    assert split_patients(PATIENTS, 0, sealed=PATIENTS[:2]) == (PATIENTS[2:], [])


@pytest.mark.parametrize("held_out", [-1, 40, 41])
def test_impossible_splits_are_refused(held_out):
    with pytest.raises(InputError, match="change held_out"):
        split_patients(PATIENTS, held_out)
    with pytest.raises(InputError, match="folds 0 to 3"):
        split_patients(PATIENTS, 10, 4)


def test_who_cannot_be_held_out_of_whom_is_told():
    with pytest.raises(
        InputError, match=r"^2 patients cannot be held out of the 2 labelled ones .*, with one at least"
    ):
        split_patients(PATIENTS[:2], 2)
    with pytest.raises(InputError, match=r"5 labelled ones .* but the sealed \(case_00000\), .*--held-out, too; 0"):
        split_patients(PATIENTS[:5], 30, sealed=(PATIENTS[0], "case_00166"))


@pytest.mark.parametrize("held_out", [0, 30])
def test_somebody_must_be_left_to_train_on(held_out):
    both = ("case_00000", "case_00166")
    with pytest.raises(InputError, match=r"sealed \(case_00000, case_00166\)\..*--sealed"):
        split_patients(both, held_out, sealed=both)
    with pytest.raises(InputError, match="it labels nobody"):
        split_patients([], held_out, sealed=both)


def test_a_split_with_a_patient_on_both_sides_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"both sides \(case_00002\)"):
        write_split(tmp_path / "split.json", PATIENTS[:3], PATIENTS[2:4])
    assert not (tmp_path / "split.json").exists()
    split = {"training": PATIENTS[:3], "held_out": PATIENTS[2:4]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    with pytest.raises(InputError, match=r"both sides \(case_00002\)"):
        read_split(tmp_path / "split.json")
    for text in ("{", "[]", '{"training": 3, "held_out": []}', '{"training": []}'):
        (tmp_path / "split.json").write_text(text)
        with pytest.raises(InputError, match="cannot be read"):
            read_split(tmp_path / "split.json")
