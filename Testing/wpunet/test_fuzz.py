"""A thousand damaged headers: each ends in the right result, in one with a warning, or is refused in one line.

Never in a traceback, a hang, a file left over, or a result without a word that lies elsewhere. Seeded, so that a
variant that fails can be made again: FUZZ=nifti:17 runs that one only.
"""

import copy
import io
import json
import os
import re
import shutil
import signal
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import nibabel as nib
import numpy as np
import pytest
from wpunet import check, cli
from wpunet.labels import KIDNEY
from wpunet.report import Report
from wpunet.segment import Result
from wpunet.structure import Caution
from wpunet.volume import from_array

from Testing.wpunet import patient
from Testing.wpunet.slices import one_slice

COUNTS = {"nifti": 400, "nrrd": 350, "dicom": 250}
SECONDS = 60  # for one variant, on a machine that is busy: more is a hang
SHAPE, STEPS, ORIGIN = (22, 45, 59), (10.0, 6.0, 6.0), (-174.0, -132.0, -105.0)
PLACES = {patient.RIGHT: 190, patient.LEFT: 190, patient.MASS: 100, (-75.0, -60.0, 60.0): 60}  # LPS mm: HU
SPECIAL = (0, -1, 1, 2, 7, 255, 256, 32767, -32768, 1e-30, 1e30, -1e30, float("nan"), float("inf"), float("-inf"))
WORDS = ("", "none", "nan", "inf", "-inf", "0", "1e30", "999999999999", "left", "\0", "ä", "%s%n", "(1,2", '"', "-")


def grid():
    matrix = np.eye(4)
    matrix[[0, 1, 2], [0, 1, 2]], matrix[:3, 3] = STEPS[::-1], ORIGIN
    return matrix


HU = patient.hu(grid(), SHAPE)


class Places(patient.StandIn):
    """Marks the bright voxels of the CT and keeps the volume, so that its place can be looked at."""

    seen = None

    def segment(self, volume, options, monitor):
        volume, told = check.check(volume)
        Places.seen = volume
        labels = np.where((volume.hu > 150) & (volume.hu < 230), KIDNEY, 0).astype(np.uint8)
        warnings = [Caution("input", text) for text in told]
        report = Report.of(
            volume, (), warnings=warnings, notes=(), weights=self.weights, runtime="none", seconds=dict(monitor.seconds)
        )
        return Result(volume, labels, np.zeros_like(labels), report)


USUAL = set(check.check(from_array(HU.T, np.diag([-1.0, -1, 1, 1]) @ grid()))[1])  # of its coarse grid


def lies_elsewhere(volume):
    """Whether other tissue lies where the patient's kidneys, tumor and liver are, or voxels have another size."""
    to_index = np.linalg.inv(volume.affine)
    for lps, hu in PLACES.items():
        at = np.rint(to_index[:3, :3] @ np.multiply(lps, (-1, -1, 1)) + to_index[:3, 3]).astype(int)
        if (at < 1).any() or (at >= np.array(volume.hu.shape) - 1).any():
            return True
        around = volume.hu[tuple(slice(a - 1, a + 2) for a in at)]
        if abs(np.median(around) - hu) > 30:
            return True
    return abs(volume.voxel_ml / (np.prod(STEPS) / 1000) - 1) > 0.05


@contextmanager
def in_time():
    def late(*_):
        raise TimeoutError("a hang")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ending(path, folder, monkeypatch):
    """How a run on ``path`` ends: "right", "warned" or "refused"; anything else fails the test."""
    out, told, said = folder / "out", io.StringIO(), io.StringIO()
    out.mkdir()
    Places.seen = None
    with in_time(), redirect_stderr(said), redirect_stdout(told):
        status = cli.main(["segment", str(path), "-o", str(out / "k.nii.gz"), "--report", str(out / "r.json")])
    made = sorted(one.name for one in out.iterdir())
    warnings = {one["text"] for one in json.loads((out / "r.json").read_text())["warnings"]} if made else set()
    shutil.rmtree(out)
    lines = said.getvalue().splitlines()
    if status == 2:
        assert len(lines) == 1, lines
        assert lines[0].startswith("wpunet: ")
        assert "Unexpected error" not in lines[0], lines
        assert made == []
        return "refused"
    assert (status, lines, made) == (0, [], ["k.nii.gz", "r.json"])
    warned = bool(warnings - USUAL)
    assert warned or not lies_elsewhere(Places.seen), "a result that lies elsewhere, without a word"
    return "warned" if warned else "right"


def nifti_variant(random, path):
    image = nib.Nifti1Image(HU.T, np.diag([-1.0, -1, 1, 1]) @ grid())
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    content = bytearray(image.to_bytes())
    header = np.frombuffer(content, image.header.template_dtype, 1)[0].copy()
    for _ in range(random.integers(1, 4)):
        how = random.integers(4)
        if how == 0:
            content[random.integers(348)] = random.integers(256)
        elif how == 1:
            content[:348] = header.tobytes()
            name = random.choice(
                [n for n in header.dtype.names if header.dtype[n].kind in "iuf" or header.dtype[n].subdtype]
            )
            value = SPECIAL[random.integers(len(SPECIAL))]
            field = np.atleast_1d(header[name]).copy()
            if field.dtype.kind in "iu":
                value = int(np.clip(np.nan_to_num(value), np.iinfo(field.dtype).min, np.iinfo(field.dtype).max))
            with np.errstate(over="ignore"):
                field.flat[random.integers(field.size)] = value
            header[name] = field if header[name].shape else field[0]
            content[:348] = header.tobytes()
        elif how == 2:
            del content[random.integers(len(content)) :]
            break
        else:
            first = random.integers(344)
            content[first : first + 4] = random.bytes(4)
    path.write_bytes(bytes(content))


def nrrd_variant(random, path):
    fields = [
        ["type", "short"],
        ["dimension", "3"],
        ["space", "left-posterior-superior"],
        ["sizes", " ".join(map(str, SHAPE[::-1]))],
        ["space directions", "(6,0,0) (0,6,0) (0,0,10)"],
        ["kinds", "domain domain domain"],
        ["endian", "little"],
        ["encoding", "raw"],
        ["space origin", "({},{},{})".format(*ORIGIN)],
    ]
    data = HU.astype("<i2").tobytes()
    magic = "NRRD0004"
    for _ in range(random.integers(1, 3)):
        how, line = random.integers(6), random.integers(len(fields))
        if how == 0 and len(fields) > 1:
            del fields[line]
        elif how == 1:
            fields.append([fields[line][0], WORDS[random.integers(len(WORDS))]])
        elif how == 2:
            fields[line][1] = WORDS[random.integers(len(WORDS))]
        elif how == 3:  # one word of a field
            words = re.findall(r"[^\s(),]+", fields[line][1]) or [""]
            old = words[random.integers(len(words))]
            new = WORDS[random.integers(len(WORDS))]
            if not (fields[line][0] == "space origin" and new == "0"):  # another place, which nobody can tell is wrong
                fields[line][1] = fields[line][1].replace(old, new, 1)
        elif how == 4:
            data = data[: random.integers(len(data))] if random.integers(2) else data + random.bytes(1000)
        else:
            at = random.integers(len(magic))
            magic = magic[:at] + random.choice(list("Z9 \n")) + magic[at + 1 :]
    text = "\n".join([magic, *(f"{name}: {value}" for name, value in fields)])
    path.write_bytes(text.encode("utf-8", "replace") + b"\n\n" + data)


@pytest.fixture(scope="module")
def slices():
    return [one_slice(pixels, k, grid()) for k, pixels in enumerate(HU)]


def dicom_variant(random, folder, slices):
    folder.mkdir()
    everywhere, only = bool(random.integers(2)), int(random.integers(len(slices)))

    def which(k):
        return everywhere or k == only

    tags = [element.tag for element in slices[0]]
    tag, how = tags[random.integers(len(tags))], random.integers(5)
    word, special = WORDS[random.integers(len(WORDS))], SPECIAL[random.integers(len(SPECIAL))]
    for k, original in enumerate(slices):
        path = folder / f"IM{k:03}.dcm"
        if not which(k) or how == 4:
            original.save_as(path, enforce_file_format=True)
            continue
        ds = copy.deepcopy(original)
        try:
            if how == 0:
                del ds[tag]
            elif how == 1:
                ds[tag].value = None
            elif how == 2:
                ds[tag].value = word
            else:
                ds[tag].value = special
            ds.save_as(path, enforce_file_format=True)
        except Exception:  # pydicom cannot write such a value: then the tag is gone
            ds = copy.deepcopy(original)
            del ds[tag]
            ds.save_as(path, enforce_file_format=True)
    if how == 4:  # bytes of the files' headers, or files cut short
        for path in sorted(folder.iterdir()):
            if which(int(path.stem[2:])):
                content = bytearray(path.read_bytes())
                end = len(content) - HU[0].nbytes
                if random.integers(3):
                    content[random.integers(132, end)] = random.integers(256)
                else:
                    del content[random.integers(len(content)) :]
                path.write_bytes(bytes(content))


@pytest.mark.parametrize("kind", COUNTS)
def test_damaged_headers(kind, tmp_path, monkeypatch, slices, capsys):
    monkeypatch.setattr(cli, "_segmenter", lambda _: Places())
    monkeypatch.setenv("WPUNET_DEBUG", "")
    only = dict([os.environ["FUZZ"].split(":")]) if os.environ.get("FUZZ") else {}
    numbers = [int(only[kind])] if kind in only else range(0 if only else COUNTS[kind])
    endings, failed = Counter(), []
    for number in numbers:
        random = np.random.default_rng([list(COUNTS).index(kind), number])
        folder = tmp_path / str(number)
        folder.mkdir()
        if kind == "dicom":
            path = folder / "series"
            dicom_variant(random, path, slices)
        else:
            path = folder / {"nifti": "ct.nii", "nrrd": "ct.nrrd"}[kind]
            (nifti_variant if kind == "nifti" else nrrd_variant)(random, path)
        try:
            endings[ending(path, folder, monkeypatch)] += 1
        except BaseException as error:
            failed.append(f"{kind}:{number}: {type(error).__name__} {str(error)[:300]}")
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{kind}: {dict(endings)}, {len(failed)} failed")
    assert not failed, "\n".join(failed[:20])
    assert only or (endings["right"] and endings["refused"])
