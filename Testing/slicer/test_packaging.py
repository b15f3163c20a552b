"""What Slicer's build would install holds every file of the module, and works from there."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.slicer import core
from Testing.slicer.sources import SOURCE

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "WPUNetSegment"
CMAKE = shutil.which("cmake") or shutil.which("cmake", path=str(Path(sys.executable).parent))
REAL = [f"-DSLICER_SOURCE={SOURCE}"] if SOURCE else []  # Slicer's own macros in the place of the stub's
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
ENTRY_KEYS = {
    "$schema",
    "build_dependencies",
    "build_subdirectory",
    "category",
    "enabled",
    "scm_revision",
    "scm_type",
    "scm_url",
    "tier",
}


def cmake(*arguments, **options):
    done = subprocess.run(
        [CMAKE, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", timeout=300, **options
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def tools():
    if not (CMAKE and COMPILER):
        pytest.skip("needs cmake and a C++ compiler: pip install cmake, apt-get install g++")


@pytest.fixture(scope="module")
def installed(tools, tmp_path_factory):
    """The folder that Slicer would load the module from, made by CMake under a path with blanks."""
    build, prefix = (tmp_path_factory.mktemp("cmäke tree") / name for name in ("build", "install"))
    stub = Path(__file__).parent / "cmake"
    configure = ("-S", ROOT, "-B", build, f"-DSlicer_DIR={stub}", f"-DCMAKE_INSTALL_PREFIX={prefix}", *REAL)
    for step in (configure, ("--build", build), ("--install", build)):
        status, said = cmake(*step)
        assert status == 0, said
    (folder,) = prefix.glob("lib/Slicer-*/qt-scripted-modules")
    return folder


def shipped():
    """Every file that belongs to the module in Slicer: all but the page for browsers and what programs leave behind."""
    names = {path.relative_to(MODULE).as_posix() for path in MODULE.rglob("*") if path.is_file()}
    left = re.compile(r"(^|/)(__pycache__|\.[^/]*|[^/]*\.egg-info)/|(^|/)\.[^/]*$|^wpunet_view/|^CMakeLists\.txt$")
    return {name for name in names if not left.search(name)}


def test_every_file_of_the_module_is_installed(installed):
    there = {
        path.relative_to(installed).as_posix()
        for path in installed.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there == shipped()
    assert {"wpunet/weights/wpunet.safetensors", "wpunet/weights/LICENSE", "Resources/requirements.txt"} <= there


def test_the_engine_runs_from_the_installed_files(installed, tmp_path):
    """In an isolated Python that knows nothing of this folder."""
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import wpunet; print(wpunet.__file__)\n"
    code += "from wpunet import cli; sys.exit(cli.main(['info']))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert "SHA-256" in done.stdout


def test_the_logic_segments_from_the_installed_files(installed, tmp_path):
    """Also with a child process, which must find the installed engine by itself."""
    if not core.AVAILABLE:
        pytest.skip(core.MISSING)
    code = f"""
import sys
sys.path.insert(0, {str(installed)!r})
sys.path.append({str(ROOT)!r})
from pathlib import Path
from Testing.slicer import core
from Testing.slicer.sources import SOURCE
core.start(Path({str(tmp_path)!r}))
import numpy as np, slicer
from WPUNetSegmentLib.logic import RunOptions, WPUNetSegmentLogic
import wpunet, WPUNetSegmentLib.run
assert wpunet.__file__.startswith({str(installed)!r}) and WPUNetSegmentLib.run.__file__.startswith({str(installed)!r})
volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
g = np.random.default_rng(0)  # air, fat and soft tissue
hu = (g.normal(0, 15, (12, 64, 64)) + g.choice([-1000, -105, 50], (12, 64, 64))).astype(np.int16)
slicer.util.updateVolumeFromArray(volume, hu)
volume.SetSpacing(5.0, 5.0, 5.0)
print(WPUNetSegmentLogic().process(volume, options=RunOptions(flips=False, threads=1)).GetName())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    assert done.stdout.splitlines()[-1:] == ["CT kidneys"], done.stdout + done.stderr


def test_a_file_that_does_not_exist_stops_the_build(tools, tmp_path):
    """By Slicer's own check, or the stub's."""
    copy = tmp_path / "extension"
    (copy / "WPUNetSegment").mkdir(parents=True)
    for name in ("CMakeLists.txt", "WPUNetSegment/CMakeLists.txt"):
        (copy / name).write_text(
            (ROOT / name).read_text("utf-8").replace("${MODULE_PYTHON_SCRIPTS}", "none.py"), "utf-8"
        )
    status, said = cmake("-S", copy, "-B", tmp_path / "build", f"-DSlicer_DIR={Path(__file__).parent / 'cmake'}", *REAL)
    assert status != 0
    assert "nonexistent" in said
    assert "none.py" in said


def test_slicer_finds_the_module_in_a_folder_that_is_dropped_on_it():
    """It reads each file in the system's own encoding, passes over what it cannot read, and looks for this class."""
    (file,) = MODULE.glob("*.py")
    classes = {node.name: node for node in ast.parse(file.read_bytes().decode("ascii")).body if hasattr(node, "bases")}
    assert [base.id for base in classes[file.stem].bases] == ["ScriptedLoadableModule"]
    assert not (MODULE / "__init__.py").exists()  # it would count as a library


def test_the_entry_of_the_extensions_index_is_valid():
    entry = json.loads((ROOT / "WPUNetSegment.json").read_text("utf-8"))
    assert set(entry) <= ENTRY_KEYS
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["scm_url"].endswith(".git")
    assert entry["tier"] in range(1, 6)
    assert entry["build_dependencies"] == set_in_cmake("EXTENSION_DEPENDS").split()


def set_in_cmake(name):
    text = (ROOT / "CMakeLists.txt").read_text("utf-8")
    return re.search(rf'^set\({name} "([^"]*)"\)', text, re.MULTILINE)[1]


@pytest.mark.parametrize("name", ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"])
def test_pictures_of_the_extension_are_in_the_repository(name):
    home = set_in_cmake("EXTENSION_HOMEPAGE").replace("github.com", "raw.githubusercontent.com") + "/main/"
    for address in set_in_cmake(name).split():
        assert address.startswith(home)
        picture = ROOT / address.removeprefix(home)
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        if name == "EXTENSION_ICONURL":
            from PIL import Image

            assert Image.open(picture).size == (128, 128)


def test_the_child_needs_no_setting_of_the_environment(installed):
    """The command line of the installed engine as the module starts it."""
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from wpunet.child import EngineProcess\n"
    code += "p = EngineProcess(['segment', 'nothing.nii.gz'])\n"
    code += "while p.returncode is None:\n    for event in p.poll(): print(event)\nprint(p.log)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=180, env=clean, cwd="/"
    )
    assert "nothing.nii.gz does not exist" in done.stdout, done.stdout + done.stderr
