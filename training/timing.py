"""Networks in OpenVINO, and how long a slice takes them on this processor."""

from __future__ import annotations

import os
import time
from statistics import median
from typing import Any

import numpy as np


def processor() -> str:
    """What the times are of."""
    import openvino as ov

    core = ov.Core()
    name, hint = core.get_property("CPU", "FULL_DEVICE_NAME").strip(), precision(core)["INFERENCE_PRECISION_HINT"]
    return f"{name}, {os.cpu_count()} threads, OpenVINO in {hint}"


def precision(core: Any) -> dict[str, str]:
    """OpenVINO's settings for one slice at a time, in bfloat16 where the processor computes in it."""
    bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}


def graph_of(network: Any, x: Any) -> Any:
    """A PyTorch network as OpenVINO's graph for inputs like the tensor ``x``.

    By OpenVINO's front end, not by its convert_model: that reports every use over the network, unasked.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    decoder = TorchScriptPythonDecoder(network.eval(), example_input=x)  # the front end does not keep it alive
    front_end = FrontEndManager().load_by_framework("pytorch")
    graph = front_end.convert(front_end.load(decoder))
    graph.reshape(tuple(x.shape))
    return graph


def taking_turns(compiled: dict[str, tuple[Any, np.ndarray]], rounds: int = 7) -> dict[str, float]:
    """Median seconds per slice of each (network, its input), all in turn, so that a busy machine is unfair to none."""
    times: dict[str, list[float]] = {name: [] for name in compiled}
    for number in range(rounds + 1):
        for name, (network, x) in compiled.items():
            start = time.perf_counter()
            for _ in range(3):
                network(x)
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - start) / 3)
    return {name: median(values) for name, values in times.items()}
