"""What a call of the command line is to do, before any of it is done: which jobs, with which names and options."""

import os
from pathlib import Path

import pytest
from wpunet import batch, cli, files, folders, outputs
from wpunet.errors import InputError, OutputError

from Testing.wpunet.slices import write_series

MASK = b"\0" * 148 + outputs.MARK.encode() + b": labels" + b"\0" * 300  # the head of a result as NIfTI


def planned(*arguments):
    return batch.plan(cli.parser().parse_args(["segment", *map(str, arguments)]))


def refusal(*arguments):
    with pytest.raises(InputError) as caught:
        planned(*arguments)
    return str(caught.value)


@pytest.fixture
def cts(tmp_path, nifti_bytes, monkeypatch):
    """A folder of two CTs, and an empty one to write into, which is the current one."""
    (tmp_path / "cts").mkdir()
    for name in "ab":
        (tmp_path / "cts" / f"{name}.nii").write_bytes(nifti_bytes)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "cts"


@pytest.fixture
def study(tmp_path):
    """A DICOM folder of two series."""
    for series in (".1", ".2"):
        write_series(tmp_path / "study", lambda ds, k: k < 4, series=series, name="{:04d}" + series)
    return tmp_path / "study"


def test_what_cannot_be_written_is_tried_before_the_work(cts):
    """There is no engine here."""
    for name, says in (("gone/a.nii.gz", "does not exist; create it"), ("a.dcm", "a.nii is no DICOM")):
        job = batch.Job(cts / "a.nii", "a", cts / name)
        with pytest.raises((InputError, OutputError), match=says):
            job.run(None, None, None)


@pytest.mark.parametrize("option", ["--report", "--table", "--preview", "--uncertainty", "--dicom-seg", "--dicom-sr"])
def test_names_of_single_files_are_refused_with_several_cts(cts, option):
    assert "leave --report, --table" in refusal(cts, "-o", "r", option, "x")


def test_a_scheduler_is_refused_with_one_ct_which_it_would_not_get(cts, study):
    for one in (cts / "a.nii", study / "0000.1"):
        assert refusal(one, "-o", "k.nii.gz", "--scheduler", "tcp://x:1").startswith("--scheduler is for several CTs")
    (cts / "b.nii").unlink()
    planned(cts, "-o", "r", "--scheduler", "tcp://x:1")  # a folder, of which nobody knew that it holds one


def test_what_is_asked_for_holds_for_each_of_several_cts(study):
    made = planned(study, "-o", "out", "--format", "dcm", "--sides", "--fractional")
    assert len({job.series for job in made.jobs}) == len(made.jobs) == 2
    assert all(job.sides and job.fractional and job.ct == study for job in made.jobs)
    assert {job.dicom_sr.name.removesuffix("_measures.dcm") for job in made.jobs} == {job.name for job in made.jobs}


def test_one_series_of_a_disc_is_chosen(study):
    (study / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    uid = folders.survey(study).cts[1].series
    for given in (study, study / "DICOMDIR"):
        (job,) = planned(given, "-o", "k.nii.gz", "--series", uid).jobs
        assert (job.ct, job.series) == (study, uid)


def test_one_ct_gets_a_name_of_its_own_in_a_folder_that_is_there_or_here(cts):
    ct = cts / "a.nii"
    assert planned(ct).jobs[0].labels.name == "a_segmentation.nii.gz"
    assert planned(ct, "--format", "seg.nrrd").jobs[0].labels.name == "a_segmentation.seg.nrrd"
    assert planned(ct, "-o", cts.parent / "out").jobs[0].labels == cts.parent / "out" / "a.nii.gz"
    assert planned(ct, "-o", ".", "--format", "seg.nrrd").jobs[0].labels.name == "a.seg.nrrd"


@pytest.mark.parametrize(("name", "given"), [("a_segmentation.nii.gz", ()), ("a.nii.gz", ("-o", "."))])
def test_a_name_that_nobody_gave_takes_no_file_of_somebody_else(cts, name, given):
    there = cts.parent / "out" / name
    there.write_bytes(b"somebody else's work")
    assert f"{name} is there and is no result of this program" in refusal(cts / "a.nii", *given)
    planned(cts / "a.nii", "-o", there)  # who names it means it
    there.write_bytes(MASK)
    planned(cts / "a.nii", *given)


def test_a_file_is_no_folder_for_results(cts):
    (cts.parent / "notes").touch()
    with pytest.raises(OutputError, match=r"notes cannot be written \(File exists\); choose another place\."):
        planned(cts, "-o", cts.parent / "notes")


def test_a_folder_may_be_called_as_a_file_is(cts):
    (cts.parent / "r.nii.gz").mkdir()
    assert planned(cts, "-o", cts.parent / "r.nii.gz").jobs[1].labels == cts.parent / "r.nii.gz" / "b.nii.gz"


def test_results_among_the_files_that_are_given_are_left_out(cts):
    (cts / "a.nii.gz").write_bytes(MASK)
    made = planned(*sorted(cts.iterdir()), "-o", "r")
    assert [job.ct.name for job in made.jobs] == ["a.nii", "b.nii"]
    assert made.left_out == (folders.LeftOut(cts / "a.nii.gz", folders.OURS),)
    assert refusal(cts / "a.nii.gz", cts / "a.nii.gz", "-o", "r").startswith("Only results of this program")


def test_the_weights_are_no_output(cts):
    weights = cts / "own.nii.gz"
    weights.write_bytes(MASK)
    for option in ("-o", "--uncertainty"):
        outs = (option, weights) if option == "-o" else ("-o", "k.nii.gz", option, weights)
        assert "would overwrite what is read" in refusal(cts / "a.nii", *outs, "--weights", weights)
    assert weights.read_bytes() == MASK


def test_of_an_earlier_run_only_results_are_called_outdated(study):
    out = study.parent / "out"
    out.mkdir()
    (out / "study.nii.gz").write_bytes(b"somebody else's")
    assert planned(study, "-o", out).left_out == ()
    (out / "study.nii.gz").write_bytes(MASK)
    assert planned(study, "-o", out).left_out == (folders.LeftOut(out / "study.nii.gz", batch.OUTDATED),)


def test_cts_of_one_name_get_those_of_the_folders_above_until_they_differ(tmp_path, nifti_bytes):
    for folder in ("x/one", "y/one", "y/two"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "ct.nii").write_bytes(nifti_bytes)
    (tmp_path / "y/two/other.nii").write_bytes(nifti_bytes)
    made = planned(tmp_path, "-o", tmp_path / "r")
    assert [job.name for job in made.jobs] == ["x_one_ct", "y_one_ct", "two_ct", "other"]


def test_a_link_in_a_circle_is_a_ct_that_does_not_exist(cts):
    """With others it fails when it is read, alone."""
    (cts / "round.nii").symlink_to(cts / "round.nii")
    assert "round.nii does not exist; check the name." in refusal(cts / "round.nii", "-o", "k.nii.gz")
    assert [job.name for job in planned(cts / "round.nii", cts / "a.nii", "-o", "r").jobs] == ["round", "a"]


def test_a_link_that_leads_nowhere_is_no_reason_to_refuse_a_result(cts):
    """What is given is looked through for names of the file that is to be written."""
    (cts / "b.nii").unlink()
    (cts / "notes.txt").symlink_to(cts / "gone")
    (cts.parent / "k.nii.gz").write_bytes(b"an older result, saved again")
    assert planned(cts, "-o", cts.parent / "k.nii.gz").jobs[0].labels.name == "k.nii.gz"


def test_two_results_may_go_into_one_device(cts):
    planned(cts / "a.nii", "-o", "k.nii.gz", "--report", os.devnull, "--table", os.devnull)


def test_a_disc_has_a_name_though_its_drive_has_none():
    """As D: on Windows, whose CT became _segmentation.nii.gz."""
    assert files.case_name(Path("/")) == "CT"
