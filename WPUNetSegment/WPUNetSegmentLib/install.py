"""What the engine needs inside Slicer, asked for once, at the click: a few small packages, PyTorch only for a GPU."""

from __future__ import annotations

import importlib
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wpunet import outputs
from wpunet.errors import InstallError

REQUIREMENTS = Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"
SLICERS_OWN = ("numpy", "scipy", "SimpleITK", "requests", "pydicom", "vtk")  # no version of these may change
LEAST_PYTHON = (3, 10)
TORCH = ">=2.4,<2.13" if sys.platform == "win32" else ">=2.4"  # 2.13 has paths too long for Slicer on Windows
RUNS_ON_CPU = "openvino"
# OpenVINO asks for less than the newest NumPy, which it runs with: its last version for a Mac with an Intel processor,
# the only kind of Mac that Slicer is built for, could not be installed beside the NumPy of Slicer 5.12. Besides it asks
# for a package that reports on its use.
ALONE = ("openvino",)

Ask = Callable[[str], bool]


@dataclass(frozen=True)
class Missing:
    """What is to be installed: requirements for pip, and whether PyTorch through its extension. False when nothing."""

    packages: tuple[str, ...] = ()
    torch: bool = False

    def __bool__(self) -> bool:
        return bool(self.packages) or self.torch

    @property
    def question(self) -> str:
        """For the user, before anything is downloaded."""
        names = [_name(package) for package in self.packages]
        names += ["PyTorch (200 MB to 3 GB, by the PyTorch extension)"] if self.torch else []
        return (
            f"The engine needs {', '.join(names)}. Shall Slicer download and install this now, once?"
            " Nothing else is downloaded, and no image leaves this computer."
        )


@dataclass(frozen=True)
class Tools:
    """What changes Slicer's Python; tests give their own.

    pip:   installs requirements, then others without what they ask for, under the constraints of a file; raises
           CalledProcessError or RuntimeError
    torch: installs PyTorch; False when the user declined; raises ImportError without the PyTorch extension
    """

    pip: Callable[[Sequence[str], Sequence[str], Path], None]
    torch: Callable[[], bool]
    installed: Callable[[str], str | None]


def requirements() -> list[str]:
    """The lines of Resources/requirements.txt: "name>=version"."""
    lines = REQUIREMENTS.read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def missing(device: str = "auto", tools: Tools | None = None) -> Missing:
    """What a run on ``device`` lacks here; looks at what is installed and imports nothing.

    A GPU needs PyTorch and not OpenVINO, everything else OpenVINO and not PyTorch.
    """
    tools = tools or slicers_tools()
    gpu = device.partition(":")[0] in ("cuda", "mps")
    wanted = [line for line in requirements() if not (gpu and line.startswith(RUNS_ON_CPU))]
    packages = tuple(line for line in wanted if not _satisfied(line, tools))
    return Missing(packages, gpu and tools.installed("torch") is None)


def ensure(device: str, ask: Ask, tools: Tools | None = None) -> None:
    """Make sure that a run on ``device`` has what it needs; asks once where something is to be installed.

    Raises InstallError with what is wrong and what to do: declined, no network, no rights, a Slicer that is too old.
    """
    require_python()
    require_device(device)
    tools = tools or slicers_tools()
    lacking = missing(device, tools)
    if not lacking:
        return
    _require_rights()
    if not ask(lacking.question):
        raise InstallError(f"Nothing was installed. Without {_list(lacking)} the engine cannot run.")
    if lacking.packages:
        _install(lacking.packages, tools)
    if lacking.torch:
        _install_torch(tools)
    importlib.invalidate_caches()
    lacking = missing(device, tools)
    if lacking:
        raise InstallError(f"{_list(lacking)} is still missing after the installation; restart Slicer and try again.")


def require(device: str = "auto") -> None:
    """Raises InstallError when a run on ``device`` lacks anything; asks nothing and installs nothing."""
    require_python()
    require_device(device)
    lacking = missing(device)
    if lacking:
        raise InstallError(f"The engine needs {_list(lacking)}: click Segment in its module once.")


def require_python(found: tuple[int, ...] = sys.version_info[:2]) -> None:
    """Raises InstallError on a Slicer whose Python is too old."""
    if found < LEAST_PYTHON:
        has, needs = (".".join(map(str, one)) for one in (found, LEAST_PYTHON))
        raise InstallError(
            f"This Slicer has Python {has}, the engine needs {needs} or later: use Slicer 5.10 or later."
        )


def no_gpu(kind: str) -> str:
    """Why a graphics card of a kind, "cuda" or "mps", can never be used on this computer; "" where it may."""
    apple = sys.platform == "darwin"
    if kind == "cuda" and apple:
        return "No PyTorch for NVIDIA's graphics cards runs on a Mac."
    if kind == "mps" and not apple:
        return "Apple's graphics cards are only in Macs."
    if kind == "mps" and platform.machine() != "arm64":
        return "This Slicer is built for Intel processors, and for those there is no PyTorch that uses Apple's cards."
    return ""


def require_device(device: str) -> None:
    """Raises InstallError for a graphics card that can never be used here."""
    reason = no_gpu(device.partition(":")[0])
    if reason:
        raise InstallError(f"{reason} Choose the device Automatic or Processor.")


def _install(packages: Sequence[str], tools: Tools) -> None:
    with tempfile.TemporaryDirectory(prefix="WPUNetSegment-") as folder:
        constraints = Path(folder) / "constraints.txt"
        kept = [(name, tools.installed(name)) for name in SLICERS_OWN]
        constraints.write_text("".join(f"{name}=={found}\n" for name, found in kept if found), "utf-8")
        try:
            alone = [package for package in packages if _name(package) in ALONE]
            tools.pip([package for package in packages if package not in alone], alone, constraints)
        except (subprocess.CalledProcessError, RuntimeError, OSError) as error:
            raise InstallError(
                f"{', '.join(packages)} could not be installed ({_reason(error)}). Is there a network, and a proxy"
                " set if you need one (HTTPS_PROXY)? Then click again; the Python console shows pip's own words."
            ) from error


def _install_torch(tools: Tools) -> None:
    try:
        done = tools.torch()
    except ImportError as error:
        raise InstallError(
            "PyTorch is missing, and so is the PyTorch extension that installs it: get it from the Extensions Manager,"
            " restart Slicer and try again, or choose the device CPU."
        ) from error
    except Exception as error:  # whatever happens inside another extension
        raise InstallError(
            f"PyTorch could not be installed ({_reason(error)}); see the module PyTorch Utils, or choose"
            " the device CPU."
        ) from error
    if not done:
        raise InstallError("PyTorch was not installed; allow it, or choose the device CPU.")


def _require_rights() -> None:
    folder = Path(sysconfig.get_paths()["purelib"])
    try:
        outputs.require_right(folder)
    except OSError as error:
        raise InstallError(
            f"You have no right to write into Slicer's own folder {folder}, so nothing can be installed: start Slicer"
            " once as an administrator, or install Slicer into your own folder."
        ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"pip ended with status {error.returncode}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _list(lacking: Missing) -> str:
    return ", ".join([*lacking.packages, *(["PyTorch"] if lacking.torch else [])])


def _name(requirement: str) -> str:
    return re.split("[<>=]", requirement)[0]


def _satisfied(requirement: str, tools: Tools) -> bool:
    name, least = requirement.split(">=")
    found = tools.installed(name)
    return found is not None and _numbers(found) >= _numbers(least)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def slicers_tools() -> Tools:
    """Slicer's own pip, of 5.12 or of 5.10, and the PyTorch extension."""
    return Tools(pip=_slicers_pip, torch=_slicers_torch, installed=_installed)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _slicers_pip(packages: Sequence[str], alone: Sequence[str], constraints: Path) -> None:
    """Two calls, since either list may be empty: pip takes no empty one."""
    import slicer

    try:
        from slicer import packaging  # since 5.12, with a window that shows how far it is
    except ImportError:
        if packages:
            slicer.util.pip_install([*packages, "--constraint", str(constraints)])
        if alone:
            slicer.util.pip_install([*alone, "--no-deps"])
        return
    if packages:
        packaging.pip_install(
            list(packages), constraints, no_deps_requirements=list(alone) or None, requester="WPUNetSegment"
        )
    elif alone:
        packaging.pip_install([*alone, "--no-deps"], constraints, requester="WPUNetSegment")


def _slicers_torch() -> bool:
    import PyTorchUtils

    return PyTorchUtils.PyTorchUtilsLogic().installTorch(torchVersionRequirement=TORCH) is not None
