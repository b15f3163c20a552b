"""What the engine needs inside Slicer: asked once, nothing of Slicer's own replaced, every failure told."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from wpunet.errors import InstallError

from Testing.slicer import core

if not core.AVAILABLE:
    pytest.skip(core.MISSING, allow_module_level=True)

import slicer.util
from WPUNetSegmentLib import install

from Testing.slicer.sources import PYTHON, SOURCE

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"connected-components-3d": "4.1", "safetensors": "0.8", "isal": "1.9"}
SLICERS = {"numpy": "2.4.6", "SimpleITK": "2.5.2"}


@dataclass
class Python:
    """A Slicer's Python with some packages, and what was done to it."""

    packages: dict = field(default_factory=lambda: {**SLICERS})
    asked: list = field(default_factory=list)
    constraints: str = ""
    answer: bool = True
    fails: Exception | None = None
    torch: object = True

    def tools(self):
        return install.Tools(pip=self.pip, torch=self.install_torch, installed=self.packages.get)

    def pip(self, packages, alone, constraints):
        self.constraints, self.alone = constraints.read_text(), list(alone)
        if self.fails:
            raise self.fails
        self.packages |= {package.split(">=")[0]: "9999.0" for package in (*packages, *alone)}

    def install_torch(self):
        if isinstance(self.torch, Exception):
            raise self.torch
        if self.torch:
            self.packages["torch"] = "2.12"
        return self.torch

    def ask(self, text):
        self.asked.append(text)
        return self.answer

    def ensure(self, device="auto"):
        install.ensure(device, self.ask, self.tools())


def test_a_fresh_slicer_is_asked_once_and_gets_all():
    python = Python()
    python.ensure()
    assert len(python.asked) == 1
    assert "openvino" in python.asked[0]
    assert "PyTorch" not in python.asked[0]
    assert python.constraints == "numpy==2.4.6\nSimpleITK==2.5.2\n"
    assert python.alone == ["openvino>=2024.4"]
    python.ensure()
    assert len(python.asked) == 1


def test_a_gpu_needs_pytorch_and_not_openvino():
    python = Python({**SLICERS, **SMALL})
    python.ensure("cuda:0")
    assert "torch" in python.packages
    assert "openvino" not in python.packages
    assert "PyTorch" in python.asked[0]


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_pytorch_alone_is_not_enough_for_a_fast_cpu(device):
    lacking = install.missing(device, Python({**SMALL, "torch": "2.10"}).tools())
    assert lacking == install.Missing(("openvino>=2024.4",), torch=False)


def test_a_package_that_is_too_old_is_brought_up_to_date():
    python = Python({**SMALL, "openvino": "2023.9", "isal": "1.6.1"})
    assert install.missing("cpu", python.tools()).packages == ("openvino>=2024.4",)


def test_whoever_declines_gets_nothing_and_a_clear_word():
    python = Python(answer=False)
    with pytest.raises(InstallError, match="Nothing was installed"):
        python.ensure()
    assert python.packages == SLICERS


@pytest.mark.parametrize("error", [subprocess.CalledProcessError(1, "pip"), RuntimeError("no route to host")])
def test_without_network_the_way_out_is_told(error):
    with pytest.raises(InstallError, match=r"network.*HTTPS_PROXY"):
        Python(fails=error).ensure()


def test_without_rights_nothing_is_asked(tmp_path, monkeypatch, forbid):
    monkeypatch.setattr(install.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    forbid(tmp_path)
    python = Python()
    with pytest.raises(InstallError, match=r"no right to write.*administrator"):
        python.ensure()
    assert python.asked == []


def test_an_installation_that_changed_nothing_is_told():
    python = Python()
    python.pip = lambda packages, alone, constraints: None
    with pytest.raises(InstallError, match=r"still missing.*restart Slicer"):
        python.ensure()


@pytest.mark.parametrize(
    ("torch", "told"),
    [
        (ImportError("PyTorchUtils"), "Extensions Manager"),
        (ValueError("no wheel"), r"no wheel.*device CPU"),
        (False, "allow it, or choose the device CPU"),
    ],
)
def test_without_pytorch_the_way_out_is_told(torch, told):
    with pytest.raises(InstallError, match=told):
        Python({**SMALL}, torch=torch).ensure("cuda")


def test_an_old_slicer_is_told_which_one_is_needed():
    with pytest.raises(InstallError, match=r"Python 3\.9.*Slicer 5\.10 or later"):
        install.require_python((3, 9))
    install.require_python((3, 12))


BOTH = (("isal>=1.6",), ("openvino>=2024.4",))


def test_slicer_5_12_installs_through_its_own_function(monkeypatch, tmp_path):
    calls = []
    new = types.ModuleType("slicer.packaging")
    new.pip_install = lambda *given, **options: calls.append((given, options))
    monkeypatch.setitem(sys.modules, "slicer.packaging", new)
    monkeypatch.setattr(slicer, "packaging", new, raising=False)
    file = tmp_path / "c.txt"
    install.slicers_tools().pip(*BOTH, file)
    install.slicers_tools().pip(BOTH[0], (), file)
    install.slicers_tools().pip((), BOTH[1], file)
    who = {"requester": "WPUNetSegment"}
    assert calls == [
        ((["isal>=1.6"], file), {"no_deps_requirements": ["openvino>=2024.4"], **who}),
        ((["isal>=1.6"], file), {"no_deps_requirements": None, **who}),
        ((["openvino>=2024.4", "--no-deps"], file), who),
    ]


def test_slicer_5_10_installs_through_pip(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.delattr(slicer, "packaging", raising=False)
    monkeypatch.setattr(slicer.util, "pip_install", calls.append, raising=False)
    install.slicers_tools().pip(*BOTH, tmp_path / "c.txt")
    assert calls == [["isal>=1.6", "--constraint", str(tmp_path / "c.txt")], ["openvino>=2024.4", "--no-deps"]]


@pytest.mark.skipif(not SOURCE or not (SOURCE / PYTHON / "packaging.py").exists(), reason="needs SLICER_SOURCE of 5.12")
def test_slicers_own_packaging_hands_pip_what_is_wanted(monkeypatch, tmp_path):
    """slicer.packaging as it is, up to the call of pip."""
    calls = []
    monkeypatch.setattr(
        slicer.util, "executePythonModule", lambda name, words, **_: calls.append((name, words)), raising=False
    )
    spec = importlib.util.spec_from_file_location("slicer.packaging", SOURCE / PYTHON / "packaging.py")
    real = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "slicer.packaging", real)
    monkeypatch.setattr(slicer, "packaging", real, raising=False)
    monkeypatch.setitem(
        sys.modules, "slicer.i18n", types.SimpleNamespace(tr=lambda text: text, translate=lambda _, text: text)
    )
    spec.loader.exec_module(real)
    monkeypatch.setattr(real, "_isSlicerAppAvailable", lambda: False)
    install.slicers_tools().pip(*BOTH, tmp_path / "c.txt")
    install.slicers_tools().pip((), BOTH[1], tmp_path / "c.txt")
    file = str(tmp_path / "c.txt")
    assert calls == [
        ("pip", ["install", "openvino>=2024.4", "--no-deps", "-c", file]),
        ("pip", ["install", "isal>=1.6", "-c", file]),
        ("pip", ["install", "openvino>=2024.4", "--no-deps", "-c", file]),
    ]


@pytest.mark.parametrize(("platform", "wanted"), [("win32", ">=2.4,<2.13"), ("linux", ">=2.4")])
def test_pytorch_comes_through_its_extension(monkeypatch, platform, wanted):
    asked = {}

    class Logic:
        def installTorch(self, **options):  # noqa: N802
            asked.update(options)
            return object()

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=Logic))
    monkeypatch.setattr(sys, "platform", platform)
    again = importlib.util.module_from_spec(install.__spec__)
    monkeypatch.setitem(sys.modules, again.__name__, again)
    install.__spec__.loader.exec_module(again)
    assert again.slicers_tools().torch() is True
    assert asked == {"torchVersionRequirement": wanted}


def test_the_requirements_are_the_engines_own():
    """Resources/requirements.txt says the same as pyproject.toml, for what Slicer does not bring along."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for line in install.requirements():
        assert f'"{line}"' in project


def test_the_engine_needs_nothing_else_on_this_way():
    """NIfTI, pictures, bars and PyTorch are left alone when a CT goes from Slicer to the engine and back."""
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
from pathlib import Path
from wpunet import cli
folder = Path({folder!r})
import numpy as np, SimpleITK as sitk
g = np.random.default_rng(0)  # air, fat and soft tissue
hu = (g.normal(0, 15, (12, 64, 64)) + g.choice([-1000, -105, 50], (12, 64, 64))).astype(np.int16)
image = sitk.GetImageFromArray(hu)
image.SetSpacing((5.0, 5.0, 5.0))
sitk.WriteImage(image, str(folder / "ct.nrrd"))
words = ["segment", folder / "ct.nrrd", "-o", folder / "x.nrrd", "--uncertainty", folder / "u.nrrd", "--sides"]
sys.exit(cli.main([*map(str, words), "--progress", "json", "--device", "cpu", "--no-flips"]))
"""
    import tempfile

    blocked = {"nibabel", "PIL", "tqdm", "torch", "pydicom", "matplotlib", "openvino_telemetry"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code.format(blocked=blocked, folder=folder)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT / "WPUNetSegment")},
        )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / "WPUNetSegment" / "WPUNetSegmentLib").glob("*.py")), ids=lambda p: p.name
)
def test_the_module_can_still_be_read_by_slicer_5_8(path):
    """Python 3.9, so that it can say itself what is missing."""
    ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
    assert not re.search(r"\bmatch .*:$", path.read_text("utf-8"), re.MULTILINE)
