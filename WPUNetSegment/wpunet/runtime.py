"""One call, slices in and logits out, over whatever runs the network here: OpenVINO on a CPU, or PyTorch."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

from .arrays import Array
from .bundle import Weights
from .errors import DeviceError

MAX_BATCH = 16  # on a GPU
MOST_AT_A_TIME = 4  # slices on a CPU: each needs memory of its own


Piece = TypeVar("Piece")
Answer = TypeVar("Answer")


class Runtime(Protocol):
    """Runs the network on one device.

    description: what runs it, for the report ("OpenVINO 2026.4, CPU, bf16")
    warnings:    what the user should know about how it ran
    """

    description: str
    warnings: list[str]
    batch: int

    def put(self, array: Array) -> Array:
        """Brings an array to where the network runs, so that all arithmetic before and after it is done there, too."""
        ...

    def __call__(self, slices: Array) -> Array:
        """Network input (n, inputs, h, w) float32 -> logits (n, classes, h, w) float32; of the same kind.

        Made for parenchyma, with its logit as one channel more.
        """
        ...


def create(weights: Weights, device: str = "auto", threads: int | None = None, *, parenchyma: bool = False) -> Runtime:
    """The fastest runtime there is for ``device``: "auto", "cpu", "cuda", "cuda:N" or "mps".

    parenchyma: whether its logit is told, too; only for weights that have that part. Raises DeviceError for a device
    that is unknown or not here, and for less than one thread.
    """
    if threads is not None and threads < 1:
        raise DeviceError(f"{threads} is no number of threads; give 1 or more, or None.")
    if device not in ("auto", "cpu", "mps") and device.partition(":")[0] != "cuda":
        raise DeviceError(f"Unknown device '{device}'; use auto, cpu, cuda, cuda:N or mps.")
    if device == "auto":
        device = next((name for name, _ in torch_gpus()), "cpu")
    elif device != "cpu":
        _require(device)
    if device == "cpu" and importlib.util.find_spec("openvino"):
        return OpenVINORuntime(weights, threads, parenchyma=parenchyma)
    if importlib.util.find_spec("torch"):
        return TorchRuntime(weights, device, threads, parenchyma=parenchyma)
    raise DeviceError("Neither OpenVINO nor PyTorch is installed; install one of them: pip install openvino")


def ahead(work: Callable[[Piece], Answer], pieces: Iterable[Piece]) -> Iterator[Answer]:
    """``map(work, pieces)`` with the work in a thread of its own: while it is at one piece, the caller makes the next.

    At most two pieces and two answers are held at a time.
    """
    with ThreadPoolExecutor(1) as other:
        running: Future[Answer] | None = None
        for piece in pieces:
            begun = other.submit(work, piece)
            if running is not None:
                yield running.result()
            running = begun
        if running is not None:
            yield running.result()


def torch_gpus() -> list[tuple[str, str]]:
    """Device and name of each GPU that PyTorch can use; [] where PyTorch is not installed."""
    if not importlib.util.find_spec("torch"):
        return []
    # Importing torch takes seconds: where no GPU can be, say so without it.
    if not gpu_driver():
        return []
    import torch

    gpus = [(f"cuda:{k}", torch.cuda.get_device_name(k)) for k in range(torch.cuda.device_count())]
    return gpus + ([("mps", "Apple GPU")] if torch.backends.mps.is_available() else [])


def gpu_driver() -> bool:
    """Whether the system has a driver for a GPU that PyTorch could use; at once, without importing it."""
    import ctypes.util
    import sys

    if sys.platform == "darwin":
        return os.uname().machine == "arm64"
    return bool(ctypes.util.find_library("nvcuda" if os.name == "nt" else "cuda"))


def _require(device: str) -> None:
    here = [name for name, _ in torch_gpus()]
    if device not in here and not (device == "cuda" and "cuda:0" in here):
        raise DeviceError(f"Device '{device}' is not here (found: {', '.join([*here, 'cpu'])}); use --device auto.")


class OpenVINORuntime:
    """The network on the CPU through OpenVINO, in bfloat16 where the processor computes in it.

    Several slices are on their way at a time, each on few cores: that wastes less than all cores on one slice. One
    graph serves inputs of all sizes. OpenVINO could keep it on disk between runs, but to load it from there takes as
    long as to compile it.
    """

    batch = 16  # so many that no core waits long for the last of them

    def __init__(
        self,
        weights: Weights,
        threads: int | None = None,
        precision: str | None = None,
        *,
        parenchyma: bool = False,
    ) -> None:
        import openvino as ov

        from .openvino_graph import build

        self.weights, self._channels = weights, weights.spec.classes + parenchyma
        self.warnings: list[str] = []
        core = ov.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = precision or ("bf16" if "BF16" in capabilities else "f32")
        config: dict[str, str | int] = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "PERFORMANCE_HINT_NUM_REQUESTS": MOST_AT_A_TIME,
        }
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        self.put = np.asarray
        self._requests = ov.AsyncInferQueue(core.compile_model(build(weights, parenchyma), "CPU", config))
        self.description = f"OpenVINO {ov.__version__.split('-')[0]}, CPU, {precision}"

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        slices = np.ascontiguousarray(slices)  # the requests read its memory
        logits = np.empty((len(slices), self._channels, *slices.shape[2:]), np.float32)

        def keep(request: Any, k: int) -> None:
            logits[k] = request.get_output_tensor().data[0]

        self._requests.set_callback(keep)
        for k in range(len(slices)):
            self._requests.start_async(slices[k : k + 1], k, share_inputs=True)
        self._requests.wait_all()
        return logits


class TorchRuntime:
    """The network through PyTorch: float16 on a GPU, float32 on a CPU, channels last on both.

    When a GPU runs out of memory the batch is halved; when one slice is too much the CPU goes on, with a warning.
    """

    def __init__(
        self, weights: Weights, device: str = "cpu", threads: int | None = None, *, parenchyma: bool = False
    ) -> None:
        import torch

        from .network import WPUNet, folded

        self.warnings: list[str] = []
        if threads:
            torch.set_num_threads(threads)
        network = WPUNet(weights.spec)
        network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.tensors.items()}, strict=False)
        self._network = folded(network.eval())
        self._parenchyma = parenchyma
        self._home = torch.device(device)
        self._use(device)

    def _use(self, device: str) -> None:
        import torch

        self.device = torch.device(device)
        self._dtype = torch.float32 if device == "cpu" else torch.float16
        self.batch = 1 if device == "cpu" else MAX_BATCH
        self._network = self._network.to(self.device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        precision = str(self._dtype).removeprefix("torch.")
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else device.upper()
        self.description = f"PyTorch {torch.__version__}, {name}, {precision}"

    def put(self, array: Array) -> Array:
        """A tensor on the GPU, on its way there while the caller goes on; on a CPU a view of the array."""
        import torch

        tensor = torch.as_tensor(array)
        if self._home.type == "cuda" and tensor.device.type == "cpu":
            tensor = tensor.pin_memory()
        return tensor.to(self._home, non_blocking=True)

    def __call__(self, slices: Array) -> Array:
        import torch

        x, start = self.put(slices), 0
        done: list[torch.Tensor] = []
        while start < len(x):
            try:
                done.append(self._run(x[start : start + self.batch]).to(x.device))
                start += len(done[-1])
            except RuntimeError as error:  # on an Apple GPU it has no class of its own
                if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):
                    raise
                self._make_room()
        logits = torch.cat(done)
        return logits.cpu().numpy() if isinstance(slices, np.ndarray) else logits

    def _run(self, slices: Any) -> Any:
        import torch

        with torch.no_grad():
            x = slices.to(self.device, self._dtype)
            missing = self.batch - len(x)
            if missing:  # the libraries of a GPU prepare themselves anew for every shape
                x = torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
            x = x.contiguous(memory_format=torch.channels_last)
            return self._answer(x)[: len(slices)].float()

    def _answer(self, x: Any) -> Any:
        import torch

        return torch.cat(self._network.told(x), 1) if self._parenchyma else self._network(x)

    def _make_room(self) -> None:
        import torch

        if self.device.type == "cpu":
            raise MemoryError("not enough memory for one slice")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch > 1:
            self.batch //= 2
        else:
            self.warnings.append(f"{self.device} ran out of memory; the CPU did the rest.")
            self._use("cpu")
