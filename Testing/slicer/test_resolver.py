"""What the engine needs can be installed beside the packages of each Slicer, on each system: pip's resolver is asked.

Needs the package index; nothing is downloaded but descriptions of packages. As a table:
python -m Testing.slicer.test_resolver
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from Testing.slicer import core

if not core.AVAILABLE:
    pytest.skip(core.MISSING, allow_module_level=True)

from WPUNetSegmentLib import install

# Of what Slicer brings along, from its sources (SuperBuild): these must not change.
SLICERS = {
    "5.10": {"numpy": "2.0.2", "scipy": "1.13.1", "requests": "2.32.3", "pydicom": "2.4.4"},
    "5.12": {"numpy": "2.4.6", "scipy": "1.17.1", "requests": "2.34.2", "pydicom": "3.0.2"},
}
PYTHON = "3.12"  # of both
SYSTEMS = {  # the oldest that a wheel may ask for
    "Linux": ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
    "Windows": ["win_amd64"],
    "macOS x86_64": [f"macosx_{version}_x86_64" for version in ("13_0", "12_0", "11_0", "10_13", "10_9")],
    "macOS arm64": [f"macosx_{version}_arm64" for version in ("13_0", "12_0", "11_0")],
}


@cache
def index() -> str:
    """Why the index cannot be asked; "" where it can."""
    done = pip("install", "--no-deps", "isal")
    return "" if done.returncode == 0 else done.stderr.strip()[-200:]


def pip(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", *words, "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def resolve(slicer: str, system: str, folder: Path, alone: bool = True) -> dict[str, str]:
    """Versions that would be installed; raises RuntimeError with pip's own words where there are none.

    alone: OpenVINO without what it asks for, as the module installs it
    """
    own = SLICERS[slicer]
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in own.items()), "utf-8")
    target = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", "--target", str(folder)]
    target += [word for platform in SYSTEMS[system] for word in ("--platform", platform)]
    lines = install.requirements()
    single = [line for line in lines if install._name(line) in install.ALONE] if alone else []
    calls = [(["--constraint", str(constraints)], [line for line in lines if line not in single])]
    calls += [(["--no-deps"], single)] if single else []
    found: dict[str, str] = {}
    for options, wanted in calls:
        done = pip("install", *target, *options, *wanted)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        for one in json.loads(done.stdout)["install"]:
            found[one["metadata"]["name"]] = one["metadata"]["version"]
    return found


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("slicer", SLICERS)
def test_everything_is_there_and_nothing_of_slicers_changes(slicer, system, tmp_path):
    if index():
        pytest.skip(f"needs the package index: {index()}")
    found = resolve(slicer, system, tmp_path)
    assert {install._name(line) for line in install.requirements()} <= set(found)
    assert found["numpy"] == SLICERS[slicer]["numpy"]


def main() -> None:
    import tempfile

    print("| Slicer | system | OpenVINO | others | with OpenVINO's own demands |\n|---|---|---|---|---|")
    for slicer in SLICERS:
        for system in SYSTEMS:
            with tempfile.TemporaryDirectory() as folder:
                found = resolve(slicer, system, Path(folder))
                try:
                    resolve(slicer, system, Path(folder), alone=False)
                    strict = "possible"
                except RuntimeError:
                    strict = "impossible"
            others = ", ".join(f"{name} {found[name]}" for name in sorted(found) if name not in ("openvino", "numpy"))
            print(f"| {slicer} | {system} | {found['openvino']} | {others} | {strict} |", flush=True)


if __name__ == "__main__":
    main()
