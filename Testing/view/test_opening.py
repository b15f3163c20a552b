"""Uploads: limits, archives that are broken or mean harm, which CT of several."""

import asyncio
import zipfile

import numpy as np
import pytest
from wpunet import files
from wpunet.dicom_files import visible_files
from wpunet.errors import InputError
from wpunet_view import opening

from Testing.view.conftest import waited
from Testing.wpunet.slices import enhanced, write_series
from Testing.wpunet.test_dicom import write

MB = opening.MB


async def chunks(*parts):
    for part in parts:
        yield part


async def upload(**files):
    for name, parts in files.items():
        yield name.replace("__", "/"), chunks(*parts)


def zipped(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_an_upload_arrives_whole_and_its_share_is_told(tmp_path):
    told = []
    path = waited(opening.receive(upload(x=[b"ab", b"cd"]), tmp_path, 4, MB, told.append))
    assert path == tmp_path / "x"
    assert path.read_bytes() == b"abcd"
    assert told == [50, 100]


def test_a_folder_arrives_with_its_files_where_they_were_and_none_outside(tmp_path):
    files = upload(**{"study__a__1.dcm": [b"1"], "study__..__..__evil": [b"2"], "__etc__passwd": [b"3"]})
    path = waited(opening.receive(files, tmp_path / "in", None, MB, lambda _: None))
    found = {one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*") if one.is_file()}
    assert found == {"in/study/a/1.dcm", "in/study/evil", "in/etc/passwd"}
    assert path == tmp_path / "in"
    one = upload(**{"study__a__1.dcm": [b"1"], "study__b__2.dcm": [b"2"]})
    assert waited(opening.receive(one, tmp_path / "two", None, MB, lambda _: None)) == tmp_path / "two" / "study"


def test_hidden_files_of_a_folder_stay_hidden(tmp_path):
    files = upload(**{"study__1.dcm": [b"1"], "study__._1.dcm": [b"2"], "study__.DS_Store": [b"3"]})
    path = waited(opening.receive(files, tmp_path, None, MB, lambda _: None))
    assert [one.name for one in visible_files(path)] == ["1.dcm"]


def test_a_zip_of_another_system_gets_names_that_every_system_knows(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("12:30 abdomen /1?.dcm", "12:30 abdomen /._1?.dcm", "back\\slashed\\2.dcm"):
            archive.writestr(name, b"x")
    opening.unpack(tmp_path / "a.zip", tmp_path / "out", MB)
    found = {one.relative_to(tmp_path / "out").as_posix() for one in (tmp_path / "out").rglob("*") if one.is_file()}
    assert found == {"12_30 abdomen/1_.dcm", "12_30 abdomen/._1_.dcm", "back/slashed/2.dcm"}


@pytest.mark.parametrize("silent", ["the next file", "the rest of a file"])
def test_an_upload_that_no_longer_comes_is_given_up(tmp_path, monkeypatch, silent):
    """A browser that froze, or a laptop that was closed: its connection stays open and tells nothing."""
    monkeypatch.setattr(opening, "QUIET_SECONDS", 0.1)

    async def stops(what):
        yield what
        await asyncio.sleep(20)

    parts = stops(("x", chunks(b"ab"))) if silent == "the next file" else chunks(("x", stops(b"ab")))
    with pytest.raises(ConnectionError):
        waited(opening.receive(parts, tmp_path, 4, MB, lambda _: None))


def test_several_files_count_together_against_the_limit(tmp_path):
    files = upload(**{f"study__{k}": [bytes(MB)] for k in range(3)})
    with pytest.raises(InputError, match=r"of 2 MB.*--upload-limit"):
        waited(opening.receive(files, tmp_path, None, 2 * MB, lambda _: None))


@pytest.mark.parametrize("size", [3 * MB, None, 10])  # honest, silent and lying about its size
def test_an_upload_beyond_the_limit_is_refused_whatever_it_says(tmp_path, size):
    parts = [bytes(MB)] * 3
    with pytest.raises(InputError, match=r"of 2 MB.*--upload-limit"):
        waited(opening.receive(upload(x=parts), tmp_path, size, 2 * MB, lambda _: None))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_no_file_is_written_outside(tmp_path, name):
    archive = zipped(tmp_path / "a.zip", **{"fine.nii": b"1", name: b"2"})
    with pytest.raises(InputError, match="outside of itself"):
        opening.unpack(archive, tmp_path / "in" / "here", MB)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.zip"]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    archive = zipped(tmp_path / "bomb.zip", big=bytes(3 * MB))
    with pytest.raises(InputError, match="unpacks to more than 2 MB"):
        opening.unpack(archive, tmp_path / "in", 2 * MB)
    assert not (tmp_path / "in").exists()


def test_an_archive_that_lies_about_its_size_is_refused(tmp_path):
    archive = zipped(tmp_path / "liar.zip", big=bytes(3 * MB))
    content = archive.read_bytes()
    true, said = (3 * MB).to_bytes(4, "little"), (10).to_bytes(4, "little")
    archive.write_bytes(content.replace(true, said))
    with pytest.raises(InputError, match=r"cannot be unpacked|more than it says"):
        opening.unpack(archive, tmp_path / "in", 2 * MB)
    assert sum(path.stat().st_size for path in (tmp_path / "in").rglob("*")) <= 2 * MB


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_broken_archive_is_told(tmp_path, share):
    archive = zipped(tmp_path / "cut.zip", big=np.random.default_rng(1).bytes(50_000))
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(InputError, match=r"cut\.zip cannot be unpacked"):
        opening.sources(archive, tmp_path / "in", MB)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_damaged_in_the_middle_is_told(tmp_path, kind):
    archive = tmp_path / "scratched.zip"
    with zipfile.ZipFile(archive, "w", kind) as written:
        written.writestr("big", np.random.default_rng(1).integers(0, 4, 50_000, np.uint8).tobytes())
    content = bytearray(archive.read_bytes())
    content[45:200] = b"\xff" * 155  # behind the entry's head
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"scratched\.zip cannot be unpacked"):
        opening.sources(archive, tmp_path / "in", MB)


def test_series_of_a_zipped_folder_are_offered_and_read(tmp_path):
    hu = np.random.default_rng(1).integers(-1000, 1500, (6, 24, 32)).astype(np.int16)
    for number, name in enumerate(("arterial", "venous")):
        write(tmp_path / "study" / name, hu + number, uid=f"1.2.{number}")
    archive = tmp_path / "upload.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for path in (tmp_path / "study").rglob("*.dcm"):
            written.write(path, path.relative_to(tmp_path))
    found = opening.sources(archive, tmp_path / "in", 10 * MB).cts
    assert len(found) == 2
    assert all("6 slices" in source.title for source in found)
    volumes = [opening.read(source) for source in found]
    assert sorted(int(volume.hu.max()) for volume in volumes) == [hu.max(), hu.max() + 1]
    assert archive.exists()  # it may be the user's own
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "study", "upload.zip"]


def series(folder, end, description):
    """Six slices of a series whose UID ends in ``end``."""

    def described(ds, _):
        ds.SeriesDescription = description

    hu = np.random.default_rng(1).integers(-1000, 1500, (6, 24, 32)).astype(np.int16)
    write_series(folder, described, hu=hu, series=end, name=f"{end[1:]}_{{}}.dcm")


@pytest.mark.parametrize("archived", [False, True])
def test_several_cts_are_told_apart_by_their_place(tmp_path, archived):
    path = top = tmp_path / "kits"
    for case in ("case_00000", "more/case_00001"):
        (top / case).mkdir(parents=True)
        (top / case / "imaging.nii.gz").write_bytes(b"")
    for place, end in (("disc/1", ".1"), ("disc/2", ".2"), ("both", ".3"), ("both", ".4")):
        series(top / place, end, "abdomen")
    series(top / "other", ".5", "thorax")
    series(top / "unnamed", ".6", "")
    if archived:
        path = tmp_path / "kits.zip"
        with zipfile.ZipFile(path, "w") as written:
            for one in top.rglob("*.*"):
                written.write(one, one.relative_to(top))
    titles = sorted(source.title for source in opening.sources(path, tmp_path / "in", 10 * MB).cts)
    uids = [titles.pop(0).removeprefix("abdomen, 6 slices, both, ") for _ in range(2)]
    assert [uid[-2:] for uid in uids] == [".3", ".4"]
    assert titles == [
        "abdomen, 6 slices, disc/1",
        "abdomen, 6 slices, disc/2",
        "case_00000/imaging.nii.gz",
        "more/case_00001/imaging.nii.gz",
        "thorax, 6 slices",
        "unnamed, 6 slices",
    ]


def test_series_of_one_upload_are_told_apart_without_the_name_of_our_own_folder(tmp_path):
    folder = tmp_path / f"{opening.UPLOAD}1"
    for end in (".1", ".2"):
        series(folder, end, "")
    titles = sorted(source.title for source in opening.sources(folder, tmp_path / "in", 10 * MB).cts)
    assert [title.startswith("CT, 6 slices, ") and title[-2:] for title in titles] == [".1", ".2"]


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("patient 7.nii.gz", "patient 7.nii.gz"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\a\0.nii", "C__a_.nii"),
        ("..", "CT"),
        ("study. ", "study"),
        ("ö" * 200 + ".nii.gz", "ö" * 93 + ".nii.gz"),
    ],
)
def test_names_of_uploads_stay_in_their_folder(tmp_path, name, local):
    assert opening.local_name(name) == local
    (tmp_path / local).write_bytes(b"")
    assert [path.name for path in tmp_path.iterdir()] == [local]


def test_errors_name_the_file_and_not_the_folder_it_lies_in(tmp_path):
    path = tmp_path / "letter.nii.gz"
    path.write_bytes(b"Dear colleague")
    with pytest.raises(InputError, match=r"^letter\.nii\.gz is") as caught:
        opening.read(opening.Source(path))
    assert str(tmp_path) not in str(caught.value)


def test_a_series_partly_in_a_folder_and_partly_below_it_is_opened_whole(tmp_path):
    whole = files.read(write_series(tmp_path / "whole"))
    folder = tmp_path / "study"
    write_series(folder, lambda ds, k: k < 20 or False)
    write_series(folder / "more", lambda ds, k: k >= 20 or False)
    (source,) = opening.sources(folder, tmp_path / "unpacked", 10 * MB).cts
    assert np.array_equal(opening.read(source).hu, whole.hu)
    assert f"{len(whole.hu)} slices" in source.title


def test_a_series_in_one_file_of_many_frames_is_offered(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    enhanced().save_as(folder / "all.dcm", enforce_file_format=True)
    (source,) = opening.sources(folder, tmp_path / "unpacked", 10 * MB).cts
    volume = opening.read(source)
    assert f"{len(volume.hu)} slices" in source.title


def test_what_of_a_folder_may_be_a_ct_and_is_not_offered_is_told(tmp_path):
    folder = tmp_path / "study"
    write_series(folder / "venous")
    zipped(folder / "arterial.zip", big=b"slices")
    (folder / "venous" / "note.txt").write_text("no CT")
    offered = opening.sources(folder, tmp_path / "unpacked", 10 * MB)
    assert len(offered.cts) == 1
    assert offered.left_out == ("arterial.zip was left out: an archive: unpack it first.",)
