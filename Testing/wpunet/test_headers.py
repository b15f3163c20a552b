"""NRRD and MetaImage headers: no geometry that is not stated, no word of a library, the true reason of a refusal."""

import gzip
import re
import zlib

import numpy as np
import pytest
from wpunet import files
from wpunet.errors import InputError

HU = np.random.default_rng(3).integers(-900, 900, (12, 24, 20)).astype("<i2")
RAW = HU.tobytes()
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "20 24 12",
    "space directions": "(2,0,0) (0,3,0) (0,0,5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(0,0,0)",
}
PLACE = ("space", "space directions", "space origin")
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "2 3 5",
    "DimSize": "20 24 12",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def nrrd(path, data=RAW, drop=(), **fields):
    told = {**NRRD, **{name.replace("_", " "): value for name, value in fields.items()}}
    lines = [f"{name}: {value}\n" for name, value in told.items() if name not in drop]
    path.write_bytes(("NRRD0005\n" + "".join(lines) + "\n").encode() + data)
    return path


def meta(path, data=RAW, drop=(), **fields):
    told = {**META, **fields}
    last = told.pop("ElementDataFile")
    lines = [f"{name} = {value}\n" for name, value in told.items() if name not in drop]
    path.write_bytes("".join([*lines, f"ElementDataFile = {last}\n"]).encode() + data)
    return path


def refused(path):
    with pytest.raises(InputError) as error:
        files.read(path)
    text = str(error.value)
    assert path.name in text
    assert not re.search(r"0x|sitk|ImageIO|ERROR|Reason|::|std", text), text
    return text


def steps(path):
    volume = files.read(path)
    return tuple(np.linalg.norm(volume.grid.affine[:3, :3], axis=0)), volume.warnings


@pytest.mark.parametrize(
    "fields",
    [
        {"space_directions": "none none none"},
        {"space_directions": "(2,0,0) (0,3,0) none"},
        {"space_directions": "none (0,3,0) (0,0,5)"},
        {"space_directions": "(2,0,0) (nan,nan,nan) (0,0,5)"},
        {"space_directions": "(2,0,0) (0,inf,0) (0,0,5)"},
        {"space_directions": "(2,0,0) (0,0,0) (0,0,5)"},
        {"space_directions": "(2,0,0) (0,3,0) none", "kinds": "domain domain list"},
        {"space_directions": "(2,0,0) (0,3,0) none", "kinds": "space space space"},
        {"space_directions": "(2,0,0) (0,3,0) none", "drop": ("kinds",)},
        {"space_directions": "(2,0,0) (0,3,0) none", "spacings": "nan nan 5"},
        {"spacings": "nan nan nan", "drop": PLACE},
        {"spacings": "2 nan 5", "drop": PLACE},
        {"spacings": "2 3 nan", "drop": PLACE},
        {"spacings": "2 3 0", "drop": PLACE},
        {"spacings": "2 inf 5", "drop": PLACE},
        {"spacings": "2 3", "drop": PLACE},
        {
            "dimension": "4",
            "sizes": "1 20 24 12",
            "kinds": "list domain domain domain",
            "space_directions": "none (2,0,0) none (0,0,5)",
        },
    ],
)
def test_an_axis_without_its_spacing_is_refused(tmp_path, fields):
    assert "states no spacing" in refused(nrrd(tmp_path / "ct.nrrd", **fields))


def test_an_axis_that_is_no_place_needs_no_spacing(tmp_path):
    four = {"dimension": "4", "sizes": "20 24 12 1", "kinds": "domain domain domain list"}
    path = nrrd(tmp_path / "ct.nrrd", space_directions="(2,0,0) (0,3,0) (0,0,5) none", **four)
    assert steps(path) == ((2.0, 3.0, 5.0), ())
    path = nrrd(tmp_path / "ct.nrrd", space_directions=" ( 2 , 0 , 0 )  (0,3,0)\t(0,0,5) ")
    assert steps(path) == ((2.0, 3.0, 5.0), ())
    found, warnings = steps(nrrd(tmp_path / "ct.nrrd", spacings="2 3 5", drop=PLACE))
    assert found == (2.0, 3.0, 5.0)
    assert "no orientation" in warnings[0]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ElementSpacing": "2 3"}, "a spacing of '2 3'"),
        ({"ElementSpacing": "2 3 nan"}, "a spacing of '2 3 nan'"),
        ({"ElementSpacing": "2 3 x"}, "a spacing of '2 3 x'"),
        ({"ElementSpacing": "2,0 3,0 5,0"}, "a spacing of '2,0 3,0 5,0'"),
        ({"ElementSpacing": "0 3 5"}, "a spacing of '0 3 5'"),
        ({"ElementSpacing": "-2 3 5"}, "a spacing of '-2 3 5'"),
        ({"drop": ("ElementSpacing",)}, "states no spacing"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "TransformMatrix"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "TransformMatrix"),
        ({"TransformMatrix": "nan 0 0 0 1 0 0 0 1"}, "TransformMatrix"),
        ({"TransformMatrix": "1 0 0 0 1 0 0"}, "TransformMatrix"),
        ({"TransformMatrix": ""}, "TransformMatrix"),
        ({"Orientation": "1 0 0 1 0 0 0 0 1", "drop": ("TransformMatrix",)}, "Orientation"),
    ],
)
def test_a_metaimage_says_what_is_wrong_with_its_geometry(tmp_path, fields, says):
    assert says in refused(meta(tmp_path / "ct.mha", **fields))


PACKED = zlib.compress(RAW)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["zlib", "zlib without size", "raw file", "raw files", "packed file", "gzip", "text"])
def test_voxels_that_are_cut_short_are_told_so(tmp_path, kind, share):
    def cut(content):
        return content[: int(share * len(content))]

    packed = {"CompressedData": "True", "CompressedDataSize": str(len(PACKED))}
    if kind == "zlib":
        path = meta(tmp_path / "ct.mha", cut(PACKED), **packed)
    elif kind == "zlib without size":
        path = meta(tmp_path / "ct.mha", cut(PACKED), CompressedData="True")
    elif kind == "raw file":
        (tmp_path / "voxels").write_bytes(cut(RAW))
        path = meta(tmp_path / "ct.mhd", b"", ElementDataFile="voxels")
    elif kind == "raw files":
        for k in range(12):
            (tmp_path / f"{k}.raw").write_bytes(cut(HU[k].tobytes()) if k == 7 else HU[k].tobytes())
        path = meta(tmp_path / "ct.mhd", b"", ElementDataFile="%d.raw 0 11 1")
    elif kind == "packed file":
        (tmp_path / "voxels.gz").write_bytes(cut(gzip.compress(RAW)))
        path = nrrd(tmp_path / "ct.nhdr", b"", encoding="gzip", data_file="voxels.gz")
    elif kind == "gzip":
        path = nrrd(tmp_path / "ct.nrrd", cut(gzip.compress(RAW)), encoding="gzip")
    else:
        path = nrrd(tmp_path / "ct.nrrd", cut(" ".join(map(str, HU.ravel())).encode()), encoding="text")
    text = refused(path)
    assert "is cut short or damaged" in text
    assert " more " not in text


def test_files_of_slices_of_a_picture_with_a_fourth_axis(tmp_path):
    for k in range(12):
        (tmp_path / f"{k}.raw").write_bytes(HU[k].tobytes())
    four = {"dimension": "4", "sizes": "20 24 12 1", "kinds": "domain domain domain list"}
    four["space_directions"] = "(2,0,0) (0,3,0) (0,0,5) none"
    assert steps(nrrd(tmp_path / "ct.nhdr", b"", data_file="%d.raw 0 11 1 2", **four)) == ((2.0, 3.0, 5.0), ())


def test_voxels_as_numbers_in_letters_are_read(tmp_path):
    path = meta(tmp_path / "ct.mha", (" ".join(map(str, HU.ravel())) + "\n").encode(), BinaryData="False")
    assert steps(path)[0] == (2.0, 3.0, 5.0)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": "block", "block_size": "2"}, "cannot be read"),
        ({"encoding": "bzip2"}, "cannot be read"),
        ({"drop": ("endian",)}, "endian"),
    ],
)
def test_refusals_are_in_our_words(tmp_path, fields, says):
    assert says in refused(nrrd(tmp_path / "ct.nrrd", **fields))


def test_a_unit_that_makes_a_grain_of_a_patient_is_told(tmp_path):
    path = nrrd(tmp_path / "ct.nrrd", space_units='"um" "um" "um"')
    assert "states its lengths in units of 0.001 mm" in refused(path)
    path = nrrd(tmp_path / "ct.nrrd", space_units='"m" "m" "m"')
    assert "states its lengths in units of 1000 mm" in refused(path)
