"""Every source becomes cases of one kind; every bad case is left out with its reason, and only that one."""

import csv

import numpy as np
import pytest
from PIL import Image
from wpunet import phantom
from wpunet.errors import InputError
from wpunet.labels import CYST

from training import prepare, slices
from training.data import LOWEST_HU, case_names, read_case, read_prepared
from training.phantoms import phantom_case

from .conftest import prepare_kits as run
from .conftest import rewrite, save_case


def test_a_case_keeps_its_hu_and_its_truth(tmp_path):
    made = save_case(tmp_path / "kits" / "case_00004", seed=4)
    run(tmp_path / "kits", tmp_path / "out")
    (case,) = read_prepared(tmp_path / "out", "labelled")
    assert (case.name, case.group, case.pixel_mm) == ("case_00004", "labelled", pytest.approx(4.0))
    body = np.any(made.hu > -300, axis=0)
    rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
    box = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    assert np.array_equal(case.labels, made.labels[box])
    assert np.abs(case.hu - np.clip(made.hu[box], LOWEST_HU, LOWEST_HU + 1020)).max() <= 2


@pytest.mark.parametrize("axes", ["RAS", "IPL"])
def test_the_orientation_of_the_files_does_not_matter(tmp_path, axes):
    made = save_case(tmp_path / "kits" / "a", seed=4)
    for name, values in (("imaging", made.hu), ("segmentation", made.labels)):
        phantom.save_nifti(values, made.affine, tmp_path / "kits" / "a" / f"{name}.nii.gz", axes)
    save_case(tmp_path / "plain" / "a", seed=4)
    for folder in ("kits", "plain"):
        run(tmp_path / folder, tmp_path / f"of-{folder}")
    turned, plain = (read_prepared(tmp_path / f"of-{folder}", "labelled")[0] for folder in ("kits", "plain"))
    assert np.array_equal(turned.grey, plain.grey)
    assert np.array_equal(turned.labels, plain.labels)


def test_thin_slices_become_slabs_as_in_inference(tmp_path):
    made = save_case(tmp_path / "kits" / "thin", seed=1, shape=(41, 60, 80), spacing=(0.8, 5.0, 5.0))
    run(tmp_path / "kits", tmp_path / "out")
    (case,) = read_prepared(tmp_path / "out", "labelled")
    assert len(case.grey) == 21  # two slices of 0.8 mm a slab, the last alone
    body = made.hu[:40].reshape(20, 2, 60, 80).mean(1)
    assert np.abs(case.hu[:20, 30, 40] - body[:, 30, 40]).max() < 60  # cropping shifts by pixels of one tissue


def test_a_case_corrected_in_slicer_may_tell_left_from_right(tmp_path):
    save_case(tmp_path / "kits" / "corrected", seed=4)

    def by_side(labels, affine):
        labels[50:][labels[50:] == 1] = 3
        return labels, affine

    rewrite(tmp_path / "kits" / "corrected" / "segmentation.nii.gz", by_side)
    assert run(tmp_path / "kits", tmp_path / "out")["left_out"] == {}
    (case,) = read_prepared(tmp_path / "out", "labelled")
    assert set(np.unique(case.labels)) == {0, 1, 2}


@pytest.mark.parametrize("kits23", [False, True])
def test_kits23_marks_cysts_with_what_is_elsewhere_the_left_kidney(tmp_path, kits23):
    save_case(tmp_path / "kits" / "case_00500", seed=4)

    def third(labels, affine):
        labels[50:][labels[50:] == 1] = 3
        return labels, affine

    rewrite(tmp_path / "kits" / "case_00500" / "segmentation.nii.gz", third)
    prepare.prepare(list(prepare.kits_sources(tmp_path / "kits", kits23=kits23)), tmp_path / "out")
    (case,) = read_prepared(tmp_path / "out", "labelled")
    assert set(np.unique(case.labels)) == ({0, 1, 2, CYST} if kits23 else {0, 1, 2})
    assert case.cysts is kits23


def test_a_case_that_comes_twice_is_taken_once(tmp_path, kits):
    own = tmp_path / "own"
    save_case(own / "case_00003", seed=77)  # the same name, another scan: named first, it stays
    save_case(own / "copy_of_2", seed=2, tumor_mm=60)  # another name, the same scan
    sources = [*prepare.kits_sources(own), *prepare.kits_sources(kits)]
    report = prepare.prepare(sources, tmp_path / "out")
    reasons = " ".join(report["left_out"].values())
    assert "the case case_00003 comes twice; the first one stays" in reasons
    assert "case_00002 is the same scan as copy_of_2." in reasons
    assert len(report["prepared"]) == 6
    assert prepare.prepare(sources, tmp_path / "out") == report  # also when all is there already
    assert prepare.prepare(sources[::-1], tmp_path / "out")["left_out"].keys() != report["left_out"].keys()
    assert len(case_names(tmp_path / "out", "labelled")) == 6  # the other one of the twins now, not both


def test_it_goes_on_where_it_stopped(tmp_path, kits, monkeypatch):
    load, seen = prepare.kits_case, []

    def interrupted(name, *paths, **options):
        if name == "case_00003" and len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(name)
        return load(name, *paths, **options)

    monkeypatch.setattr(prepare, "kits_case", interrupted)
    sources = list(prepare.kits_sources(kits))
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(sources, tmp_path / "out")
    assert seen == ["case_00000", "case_00001", "case_00002"]
    seen.append("a second start")
    prepare.prepare(sources, tmp_path / "out")
    assert seen[4:] == ["case_00003", "case_00004", "case_00005"]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "labelled").iterdir()}
    prepare.prepare(sources, tmp_path / "out")
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "labelled").iterdir()}


def test_a_changed_file_is_prepared_again_and_a_spoilt_one_leaves_nothing_behind(tmp_path):
    save_case(tmp_path / "kits" / "case_00001", seed=1)
    mask = tmp_path / "kits" / "case_00001" / "segmentation.nii.gz"
    run(tmp_path / "kits", tmp_path / "out")
    before = read_prepared(tmp_path / "out", "labelled")[0].labels
    rewrite(mask, lambda labels, affine: (np.minimum(labels, 1), affine))
    run(tmp_path / "kits", tmp_path / "out")
    assert before.max() == 2
    assert read_prepared(tmp_path / "out", "labelled")[0].labels.max() == 1
    mask.write_bytes(b"spoilt")
    run(tmp_path / "kits", tmp_path / "out")
    assert case_names(tmp_path / "out", "labelled") == []
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_what_is_to_be_read_otherwise_is_prepared_again(tmp_path, folder):
    save_case(tmp_path / "kits" / "case_00500", seed=4)
    rewrite(tmp_path / "kits" / "case_00500" / "segmentation.nii.gz", lambda labels, affine: (labels * 3 // 2, affine))
    for kits23 in (False, True):  # after a mistake
        prepare.prepare(list(prepare.kits_sources(tmp_path / "kits", kits23=kits23)), tmp_path / "out")
        (case,) = read_prepared(tmp_path / "out", "labelled")
        assert (CYST in case.labels) is case.cysts is kits23
    prepare.prepare(list(slices.slice_sources(folder)), tmp_path / "single")
    table = folder / "slices.csv"
    table.write_text(table.read_text().replace(",0.75", ",0.9"))
    prepare.prepare(list(slices.slice_sources(folder)), tmp_path / "single")
    assert {case.pixel_mm for case in read_prepared(tmp_path / "single", "labelled")} == {0.9}
    folder = folder.rename(tmp_path / "renamed")
    prepare.prepare(list(slices.slice_sources(folder)), tmp_path / "single")
    assert {case.source for case in read_prepared(tmp_path / "single", "labelled")} == {"renamed"}


def test_a_slice_of_a_folder_that_is_written_over_is_noticed(tmp_path):
    """The folder's own date tells only of names that come and go."""
    (tmp_path / "case_1" / "imaging").mkdir(parents=True)
    one = tmp_path / "case_1" / "imaging" / "1.dcm"
    one.write_bytes(b"old")
    (source,) = prepare.kits_sources(tmp_path)
    before = source.fingerprint
    assert source.fingerprint == before
    one.write_bytes(b"other")
    assert source.fingerprint != before


def test_what_only_moved_is_not_prepared_again(tmp_path, folder):
    (tmp_path / "elsewhere").mkdir()
    before = [one.fingerprint for one in slices.slice_sources(folder)]
    moved = folder.rename(tmp_path / "elsewhere" / folder.name)
    assert [one.fingerprint for one in slices.slice_sources(moved)] == before
    assert len(set(before)) == 2


def test_a_prepared_file_that_was_damaged_is_made_again(tmp_path):
    save_case(tmp_path / "kits" / "case_00001", seed=1)
    run(tmp_path / "kits", tmp_path / "out")
    path = tmp_path / "out" / "labelled" / "case_00001.safetensors"
    whole = read_case(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(InputError, match="is damaged"):
        read_case(path)
    run(tmp_path / "kits", tmp_path / "out")
    assert np.array_equal(read_case(path).grey, whole.grey)


@pytest.fixture
def folder(tmp_path):
    """A folder of single slices of two patients, as the training data come."""
    folder = tmp_path / "slices"
    g = np.random.default_rng(0)
    rows = []
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for case, z in ((3, 10), (3, 20), (8, 5)):
        name = f"{case}_{z}"
        grey = g.integers(0, 256, (48, 48), dtype=np.uint8)
        labels = np.zeros((48, 48), np.uint8)
        labels[10:20, 8:18], labels[12:15, 10:14] = 1, 2
        Image.fromarray(grey).save(folder / "images" / f"{name}.jp2", irreversible=False)
        Image.fromarray(labels).save(folder / "masks" / f"{name}.png")
        rows.append({"name": name, "case": case, "z": z, "hu_at_0": -400, "hu_at_255": 365, "pixel_mm": 0.75})
    with (folder / "slices.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def test_single_slices_are_gathered_by_patient(folder, tmp_path):
    prepare.prepare(list(slices.slice_sources(folder)), tmp_path / "out")
    three, eight = read_prepared(tmp_path / "out", "labelled")
    assert (three.name, len(three.grey), eight.name, len(eight.grey)) == ("case_00003", 2, "case_00008", 1)
    grey = np.asarray(Image.open(folder / "images" / "3_20.jp2")).astype(float)
    assert np.abs(three.hu[1] - (-400 + grey * 3)).max() <= 2
    assert np.array_equal(three.labels[1], np.asarray(Image.open(folder / "masks" / "3_20.png")))
    assert three.pixel_mm == 0.75


def _spoil_row(folder, old, new):
    table = folder / "slices.csv"
    table.write_text(table.read_text().replace(old, new, 1))


SPOILT_SLICES = {
    "no mask": (lambda f: (f / "masks" / "3_20.png").unlink(), "cannot be read"),
    "other shape": (lambda f: Image.new("L", (40, 48)).save(f / "masks" / "3_20.png"), "does not fit its image"),
    "other labels": (lambda f: Image.new("L", (48, 48), 9).save(f / "masks" / "3_20.png"), "labels above 2"),
    "no scale": (lambda f: _spoil_row(f, ",-400,", ",,"), "does not tell case_00003 as it should"),
    "no picture": (lambda f: (f / "images" / "3_10.jp2").write_text("no picture"), "cannot be read"),
}


@pytest.mark.parametrize("kind", SPOILT_SLICES)
def test_a_patient_with_a_bad_slice_is_left_out(folder, tmp_path, kind):
    spoil, reason = SPOILT_SLICES[kind]
    spoil(folder)
    report = prepare.prepare(list(slices.slice_sources(folder)), tmp_path / "out")
    assert list(report["prepared"]) == ["case_00008"]
    assert reason in next(iter(report["left_out"].values()))


def test_cysts_beside_old_masks_are_told_of_their_patient_alone(folder, tmp_path):
    (folder / "cysts").mkdir()
    cyst = np.zeros((48, 48), np.uint8)
    cyst[12:30, 10:14] = 1  # also on the tumor and beyond the kidney, which stay as they are
    Image.fromarray(cyst).save(folder / "cysts" / "3_20.png")
    prepare.prepare(list(slices.slice_sources(folder)), tmp_path / "out")
    three, eight = read_prepared(tmp_path / "out", "labelled")
    assert (three.cysts, eight.cysts) == (True, False)
    assert three.source == eight.source == "slices"
    assert (three.labels[1] == CYST).sum() == 5 * 4
    assert (three.labels == 2).sum() == 2 * 12
    assert not (three.labels[0] == CYST).any()


@pytest.fixture
def blind(tmp_path):
    """A folder of slices drawn blindly, in a narrow window and of several sizes, as KiTS23's come."""
    folder = tmp_path / "blind"
    rows = []
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for case, kind, size, values in ((2, "z50", 64, (1, 3)), (2, "mid", 48, (1, 2)), (7, "z50", 64, ())):
        name = f"{case}_{kind}"
        grey = np.zeros((size, size), np.uint8)
        grey[8:-8, 8:-8] = 100 + case
        grey[20:24, 20:24] = 0  # gas in the bowel: as black as the air around, but inside
        labels = np.zeros((size, size), np.uint8)
        for k, value in enumerate(values):
            labels[10 + 8 * k : 16 + 8 * k, 30:36] = value
        Image.fromarray(grey).save(folder / "images" / f"{name}.jp2", irreversible=False)
        Image.fromarray(labels).save(folder / "masks" / f"{name}.png")
        counts = {f"{what}_px": int((labels == k).sum()) for k, what in ((1, "kidney"), (2, "tumor"), (3, "cyst"))}
        rows.append({"name": name, "case": case, "kind": kind, "hu_at_0": -79, "hu_at_255": 309} | counts)
        rows[-1]["pixel_mm"] = 0.9 if kind == "z50" else 1.0
    with (folder / "slices.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def test_slices_drawn_blindly_go_where_they_belong(blind, tmp_path):
    assert prepare.prepare(list(slices.slice_sources(blind)), tmp_path / "out")["left_out"] == {}
    (tumor,), (cyst,), (empty,) = (
        read_prepared(tmp_path / "out", group) for group in ("labelled", "tumor_free", "kidney_free")
    )
    assert (tumor.name, cyst.name, empty.name) == ("case_00002 mid", "case_00002 z50", "case_00007 z50")
    assert tumor.patient == cyst.patient == "case_00002"
    assert (cyst.pixel_mm, tumor.pixel_mm) == (0.9, 1.0)
    assert set(np.unique(cyst.labels)) == {0, 1, CYST}
    assert cyst.cysts
    assert cyst.source == "blind"
    assert cyst.hu[0, 2, 2] == LOWEST_HU  # air around the body again, which the window had cut off
    assert cyst.hu[0, 22, 22] == slices.BODY_FLOOR_HU
    assert abs(cyst.hu[0, 40, 40] - (-79 + 102 * 388 / 255)) <= 2


def test_phantoms_and_kidney_free_levels(tmp_path, unlabelled):
    case = phantom_case(0, (16, 60, 70), (10.0, 5.0, 5.0))
    assert (case.group, case.pixel_mm) == ("generated", 5.0)
    assert np.array_equal(case.grey, phantom_case(0, (16, 60, 70), (10.0, 5.0, 5.0)).grey)
    assert not np.array_equal(case.grey, phantom_case(1, (16, 60, 70), (10.0, 5.0, 5.0)).grey)
    prepare.prepare(list(prepare.kidney_free_sources(unlabelled)), tmp_path)
    (free,) = read_prepared(tmp_path, "kidney_free")
    assert not free.labels.any()
    assert len(free.grey) == 12


def test_the_command_says_what_it_left_out_and_what_is_missing(tmp_path, kits, command, capsys):
    save_case(tmp_path / "own" / "mine", seed=30)
    (tmp_path / "own" / "mine" / "segmentation.nii.gz").unlink()
    assert command(prepare, "--output", tmp_path / "out", "--kits", tmp_path / "own", "--kits", kits) == 0
    said = capsys.readouterr().out
    assert "left out mine" in said
    assert "6 cases of 6 patients prepared" in said
    assert "1 left out" in said
    (tmp_path / "empty").mkdir()
    assert command(prepare, "--output", tmp_path / "out", "--kits", tmp_path / "empty") == 2
    assert "holds no case in KiTS19's layout" in capsys.readouterr().err
    assert command(prepare, "--output", tmp_path / "out", "--kits", kits / "case_00000") == 2
    assert "case_00000 is a case itself; give the folder that holds it" in capsys.readouterr().err
    assert command(prepare, "--output", tmp_path / "out") == 2
    assert "name a source" in capsys.readouterr().err
    assert command(prepare, "--output", tmp_path / "out", "--kits", kits, "--unlabelled", tmp_path / "empty") == 2
    assert "empty holds none of the CT whose levels are known: noncontrast_neck" in capsys.readouterr().err
    assert command(prepare, "--output", tmp_path / "out", "--slices", tmp_path) == 2
    assert "slices.csv cannot be read" in capsys.readouterr().err


def test_real_slices_and_volumes(data, tmp_path):
    sources = [s for s in slices.slice_sources(data / "slices") if s.name in ("case_00002", "case_00003")]
    volumes = [s for s in prepare.kits_sources(data / "kits19" / "data") if s.name == "case_00166"]
    report = prepare.prepare([*volumes, *sources], tmp_path)
    assert report["left_out"] == {}
    for case in read_prepared(tmp_path, "labelled"):
        kidney = case.hu[case.labels == 1]
        assert 20 < np.median(kidney) < 300, case.name
        assert (case.labels == 2).any()
    assert (tmp_path / "labelled" / "case_00166.safetensors").stat().st_size < 16e6
    assert read_case(tmp_path / "labelled" / "case_00166.safetensors").grey.shape[0] == 103
