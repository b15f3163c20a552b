"""Files below a folder whose name is not ASCII, as that of a Windows user may be: also those that ITK opens."""

import locale
import os
import subprocess
import sys

import pytest
import SimpleITK as sitk
from wpunet import __main__, names

from Testing.wpunet.test_console import PROGRAM, ROOT


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
def test_a_ct_below_a_folder_with_an_umlaut_is_segmented(tmp_path, ct, ending):
    folder = tmp_path / "Jörg Müller 腎"
    folder.mkdir()
    sitk.WriteImage(sitk.ReadImage(str(ct)), str(tmp_path / f"ct{ending}"))
    (tmp_path / f"ct{ending}").rename(folder / f"näher{ending}")
    program = PROGRAM.format(root=str(ROOT), engine=str(ROOT / "WPUNetSegment"))
    words = ["segment", f"näher{ending}", "-o", "k.seg.nrrd", "--report", "r.json"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUTF8"}
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert {path.name for path in folder.iterdir()} == {f"näher{ending}", "k.seg.nrrd", "r.json"}


def test_on_windows_c_libraries_take_names_as_python_hands_them(monkeypatch):
    set_to = []
    monkeypatch.setattr(locale, "setlocale", lambda *given: set_to.append(given))
    names.as_utf8()
    assert set_to == ([(locale.LC_CTYPE, ".UTF-8")] if sys.platform == "win32" else [])
    set_to.clear()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["wpunet", "--version"])
    with pytest.raises(SystemExit, match="0"):
        __main__.run()
    assert set_to == [(locale.LC_CTYPE, ".UTF-8")]
