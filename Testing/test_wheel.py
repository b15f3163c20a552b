"""``make wheel`` builds one file that holds all it needs, and that a fresh virtual environment can use. Offline."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("wpunet", "wpunet_view")
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
OFFLINE = {
    **os.environ,
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "false",
}  # false: pip's odd word for no isolation


def run(*command, **options):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, encoding="utf-8", timeout=300, env=OFFLINE, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What ``make wheel`` builds from a copy of the files that belong to it."""
    if not shutil.which("make") or sys.platform == "win32":
        pytest.skip("needs make")
    copy = tmp_path_factory.mktemp("a clone")
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in PACKAGES:
        shutil.copytree(ROOT / "WPUNetSegment" / name, copy / "WPUNetSegment" / name, ignore=LEFT_BEHIND)
    (copy / "build" / "lib" / "wpunet").mkdir(parents=True)
    (copy / "build" / "lib" / "wpunet" / "stale.py").write_text("left from an older build")
    run("make", "wheel", f"BIN={Path(sys.executable).parent}", cwd=copy)
    (built,) = (copy / "dist").glob("wpunet-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A fresh virtual environment with the wheel, beside the packages that the tests have."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    places = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    # Plain folders: what is installed there in editable form, as this project is, is not found through them
    shared = dict.fromkeys(path for path in [*site.getsitepackages(), *sys.path] if path.endswith("site-packages"))
    (Path(places) / "shared.pth").write_text("\n".join(shared), "utf-8")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    return python


def test_every_file_of_the_packages_is_inside_and_nothing_else(environment, tmp_path):
    for name in PACKAGES:
        where = run(environment, "-c", f"import {name}; print({name}.__path__[0])", cwd=tmp_path).strip()
        assert Path(where).is_relative_to(environment.parents[1]), "not the installed one"
        there = {path.relative_to(where) for path in Path(where).rglob("*") if path.is_file()}
        source = ROOT / "WPUNetSegment" / name
        wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        assert visible(there) == visible(wanted)
    needed = {
        "wpunet/weights/wpunet.safetensors",
        "wpunet/weights/LICENSE",
        "wpunet/report.schema.json",
        "wpunet_view/www/page.js",
    }
    packages = Path(where).parent
    assert all((packages / name).is_file() for name in needed)
    assert json.loads((packages / "wpunet" / "report.schema.json").read_text("utf-8"))["title"]


def visible(paths):
    return {path.as_posix() for path in paths if not any(p == "__pycache__" or p.startswith(".") for p in path.parts)}


def test_the_command_runs_in_the_fresh_environment(environment, tmp_path):
    command = environment.parent / "wpunet"
    version = re.search(r'__version__ = "(.+)"', (ROOT / "WPUNetSegment" / "wpunet" / "__init__.py").read_text("utf-8"))
    assert run(command, "--version", cwd=tmp_path).strip() == f"wpunet {version[1]}"
    said = run(command, "info", cwd=tmp_path)
    assert str(environment.parents[1]) in said  # the weights that came with the wheel
    run(environment, "-m", "wpunet.phantom", "ct.nii.gz", cwd=tmp_path)
    run(command, "segment", "ct.nii.gz", "-o", "labels.nii.gz", cwd=tmp_path)
    assert (tmp_path / "labels.nii.gz").stat().st_size > 100
