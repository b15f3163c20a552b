"""Parts that many tests share: small networks, and where the real CT lies, if it is there."""

from __future__ import annotations

import json
import locale
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def usual_locale() -> Iterator[None]:
    """ITK leaves the locale at "C" after it has written DICOM; later tests would read text files as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """As on a full disk: no file may grow beyond so many bytes."""
    resource = pytest.importorskip("resource", reason="no such limits on Windows")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class _Windows:
    """The module os, as tempfile finds it there."""

    name = "nt"

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Takes away the right to write into a folder as Windows does, which says of every folder that one has it."""

    def forbidden(folder: Path) -> None:
        tries = 0

        def refusing(whole: Callable) -> Callable:
            def called(path: str | Path | int, *more: object, **named: object) -> object:
                nonlocal tries
                if not isinstance(path, int) and folder in (Path(path), Path(path).parent):
                    tries += 1
                    assert tries < 20, "tries one name after the other"
                    raise PermissionError(13, "Permission denied", str(path))
                return whole(path, *more, **named)

            return called

        monkeypatch.setattr(tempfile, "_os", _Windows())
        monkeypatch.setattr(tempfile, "TMP_MAX", 2**31 - 1)
        monkeypatch.setattr(os, "access", lambda *_, **__: True)
        for name in ("open", "mkdir"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name)))

    return forbidden


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real CT; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"needs the real CT in {DATA}, which is not here")
    return DATA


@pytest.fixture
def make_weights(tmp_path):
    """A function that writes a bundle of random weights and gives its path."""
    import torch
    from safetensors.torch import save_file
    from wpunet.bundle import NetworkSpec
    from wpunet.network import WPUNet

    small = NetworkSpec(widths=(4, 4, 8, 8, 8), norms=2)

    def make(spec=small, seed=0, name="random"):
        torch.manual_seed(seed)
        network = WPUNet(spec)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # as if trained: statistics that are not 0 and 1
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.2)
        state = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
        path = tmp_path / f"{name}.safetensors"
        save_file(state, path, metadata={"spec": json.dumps(spec.as_dict()), "pixel_mm": "1.6"})
        return path

    return make


@pytest.fixture(scope="session")
def segmenter():
    """The shipped network on this machine's processor."""
    from wpunet.segment import Segmenter

    return Segmenter(device="cpu")


@pytest.fixture(scope="session")
def abdomen():
    """A phantom with two kidneys and a tumor, small enough to segment in a second."""
    from Testing import phantom

    return phantom.make(seed=3, shape=(30, 116, 144), spacing=(8.0, 2.8, 2.8))
