"""The script that users copy, as it stands in docs, and a large CT."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from Testing import phantom

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "segment_in_slicer.py"


def test_the_script_segments_a_ct_without_a_window(scene, abdomen, tmp_path, monkeypatch, capsys):
    import SimpleITK as sitk

    ct, out = tmp_path / "ct ä.nii.gz", tmp_path / "kidneys.seg.nrrd"
    phantom.save_nifti(abdomen.hu, abdomen.affine, ct)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(ct), str(out)])
    runpy.run_path(str(SCRIPT))
    labels = sitk.ReadImage(str(out))
    names = {labels.GetMetaData(key) for key in labels.GetMetaDataKeys() if re.fullmatch(r"Segment\d_Name", key)}
    assert names == {"right kidney", "left kidney", "kidney tumor", "kidney cyst"}
    truth = nib.load(ct)
    ml = np.count_nonzero(sitk.GetArrayViewFromImage(labels)) * np.prod(labels.GetSpacing()) / 1000
    assert ml == pytest.approx(np.count_nonzero(abdomen.labels) * np.prod(truth.header.get_zooms()) / 1000, rel=0.2)
    assert "right kidney:" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["no such file", "no kidneys"])
def test_after_an_error_it_tells_why_and_ends_slicer(scene, abdomen, tmp_path, monkeypatch, capsys, wrong):
    """Without a window nobody could end it by hand."""
    import slicer

    ct, ended = tmp_path / "ct.nii.gz", []
    if wrong == "no kidneys":
        phantom.save_nifti(np.full_like(abdomen.hu, 7), abdomen.affine, ct)
    monkeypatch.setattr(slicer.util, "exit", lambda status=0: ended.append(status))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(ct), str(tmp_path / "out.seg.nrrd")])
    runpy.run_path(str(SCRIPT))
    assert ended[0] == 1
    told = capsys.readouterr().err
    assert ("ct.nii.gz" in told) if wrong == "no such file" else ("one value only" in told)
    assert not (tmp_path / "out.seg.nrrd").exists()


def test_the_script_is_short_and_is_the_one_that_the_documents_show():
    code, found = SCRIPT.read_text("utf-8"), False
    assert len(code.splitlines()) <= 20
    for document in (ROOT / "README.md", ROOT / "docs" / "slicer.md"):
        text = document.read_text("utf-8")
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert all(block == code for block in blocks if "slicer.util.loadVolume" in block), document
        found |= "](segment_in_slicer.py)" in text or code in blocks
    assert found


LARGE = """
import sys, time
sys.path[:0] = [{root!r}, {module!r}]
from pathlib import Path
import numpy as np, slicer
from Testing.slicer import core
from Testing.slicer.stand_in import HU
core.start(Path({temporary!r}))
from wpunet.child import EngineProcess
from WPUNetSegmentLib.logic import RunOptions, WPUNetSegmentLogic
hu = np.zeros((611, 512, 512), np.int16)
hu[250:400, 150:300, 60:200] = HU[1]
hu[250:400, 150:300, 320:450] = HU[3]
hu[300:350, 200:250, 100:150] = HU[2]
hu[:4] = -1000
volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
slicer.util.updateVolumeFromArray(volume, hu)
volume.SetSpacing(0.7, 0.7, 0.5)
del hu

def peak():  # getrusage's would be that of the process which started this one, if that was larger
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

before = peak()
logic = WPUNetSegmentLogic(lambda words, folder: EngineProcess(words, python={python!r}, folder=folder))
segmentation = logic.process(volume, options=RunOptions(surface=True, uncertainty=True))
print(peak() - before, segmentation.GetSegmentation().GetNumberOfLayers())
"""


def test_a_ct_of_611_slices_takes_little_memory_beside_itself(scene, tmp_path):
    """In Slicer's own process: hand-over, result, surfaces."""
    from Testing.slicer.test_run import CODE

    if not sys.platform.startswith("linux"):
        pytest.skip("the peak is read from Linux' /proc")
    engine, python = tmp_path / "engine.py", tmp_path / "python"
    quick = "from Testing.slicer import stand_in; stand_in.ndimage.minimum_filter = lambda hu, size: hu"
    engine.write_text(CODE.format(root=str(ROOT), act=quick), "utf-8")
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{engine}" "$@"\n', "utf-8")
    python.chmod(0o755)
    module = str(ROOT / "WPUNetSegment")
    code = LARGE.format(root=str(ROOT), module=module, temporary=str(tmp_path), python=str(python))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    megabytes, layers = map(int, done.stdout.split())
    assert layers == 1
    assert megabytes < 1000
