"""The compiled kernels: made by this machine's C++ compiler when they are first needed, kept for the next time.

They lie in ``$XDG_CACHE_HOME/wpunet`` (``~/.cache/wpunet``) under a name that tells sources, flags and compiler apart.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent
FLAGS = ("-O3", "-march=sapphirerapids", "-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden")
NEEDED = {"avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"}  # as Linux names them
CPU = Path("/proc/cpuinfo")

_P, _I, _L, _D = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_double
SIGNATURES: dict[str, list[Any]] = {
    "norm_constants": [_P, _I, _L, _P, _P, _D, _D, _P, _P, _P],
    "norm_relu_forward": [_P, _I, _L, _P, _P],
    "norm_sums_backward": [_P, _P, _I, _L, _P, _P],
    "norm_gradients": [_P, _I, _L, _P, _P, _P, _P],
    "separable_forward": [_P, _I, _I, _P, _P, _I, _P, _P, _P, _I, _I, _I, _I, _P, _P],
    "separable_backward": [_P] * 5 + [_I, _I, _P, _P, _I, _P, _P, _I, _I, _I, _I] + [_P] * 6,
    "pool_forward": [_P, _I, _L, _I, _P],
    "pool_backward": [_P, _P, _P, _P, _I, _L, _I, _P],
    "stem_forward": [_P, _P, _P, _I, _I, _I, _I, _P],
    "stem_backward": [_P, _P, _P, _I, _I, _I, _I, _P, _P],
    "head_forward": [_P, _I, _P, _P, _I, _L, _I, _P],
    "head_backward": [_P, _I, _P, _P, _I, _L, _I, _P, _P, _P],
}


class Unavailable(Exception):
    """The kernels cannot run on this machine; the message says why."""


@cache
def missing() -> str | None:
    """Why the kernels cannot run on this machine; None where they can."""
    try:
        library()
    except Unavailable as error:
        return str(error)
    return None


@cache
def library() -> ctypes.CDLL:
    """The kernels, compiled if they are not yet. Raises Unavailable."""
    try:
        lacking = NEEDED - set(CPU.read_text("utf-8").split()) if sys.platform == "linux" else NEEDED
    except OSError:
        lacking = NEEDED
    if lacking:
        raise Unavailable("they need Linux on a processor with AMX and AVX-512 in bfloat16 (Intel Xeon from 2023 on)")
    try:
        loaded = ctypes.CDLL(str(compiled(cache_folder())))
    except OSError as error:
        raise Unavailable(f"they cannot be kept in or loaded from {cache_folder()} ({error})") from error
    for name, types in SIGNATURES.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = types, None
    if loaded.start():
        raise Unavailable("this Linux does not give AMX to programs")
    return loaded


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wpunet"


def compiled(folder: Path, sources: Path = SOURCES) -> Path:
    """The library of the C++ files of ``sources``, in ``folder``; several processes may ask at once.

    Raises Unavailable when there is no compiler that can make it, OSError when ``folder`` cannot be written.
    """
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX") or "c++", "g++", "clang++"))), None)
    if compiler is None:
        raise Unavailable("there is no C++ compiler (g++ from version 11 or clang++ from 12)")
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    content = b"".join(path.read_bytes() for path in sorted(sources.glob("*.h")) + sorted(sources.glob("*.cpp")))
    name = hashlib.sha256(b"\n".join([content, " ".join(FLAGS).encode(), version])).hexdigest()[:16]
    path = folder / f"kernels-{name}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="compiling-") as own:
            made = Path(own) / path.name
            command = [compiler, *FLAGS, "-o", str(made), *map(str, sorted(sources.glob("*.cpp")))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                what = next((line for line in done.stderr.splitlines() if "error" in line), f"exit {done.returncode}")
                raise Unavailable(f"{compiler} cannot compile them ({what})")
            made.replace(path)  # whole or not at all, whoever was first
    return path
