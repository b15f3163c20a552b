"""Other people's published kidney networks, measured as they are: they are read from a folder and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from wpunet.network import WPUNet

from training import metrics
from training.data import Case
from training.prune import measure
from training.timing import precision, taking_turns

PEER_SIZE = 512  # what the peers take


@dataclass(frozen=True)
class Peer:
    """Somebody else's network as it was published; it marks kidney and tumor as one.

    unseen:     the KiTS19 patients that it was not trained on
    transposed: whether it takes columns before rows
    """

    name: str
    file: str
    unseen: str
    transposed: bool = False


PEERS = (
    Peer(
        "BasicUNet of the OpenVINO notebooks",
        "openvino-kits19-basicunet/unet_kits19.xml",
        "2 5 7 10 14 15 30 37 60 71 74 75 81 92 93 103 106 115 117 119 134 161 174 192 196 203",
        transposed=True,
    ),
    Peer(
        "U-Net of 16 to 128 channels",
        "openvino-kits19-unet44/unet44.onnx",
        "11 15 16 49 50 79 81 89 106 108 112 126 129 133 141 166 169 170 192 202 204",
    ),
)


def measure_peers(peers: Path, ours: WPUNet, pixel_mm: float, cases: list[Case]) -> list[dict[str, Any]]:
    """A row for each peer in a folder of them: cost at 512x512, Dice beside ours on patients that neither has seen."""
    import openvino as ov

    core, rows = ov.Core(), []
    for peer in PEERS:
        path = peers / peer.file
        if not path.exists():
            continue
        graph = core.read_model(path)
        graph.reshape((1, 1, PEER_SIZE, PEER_SIZE))
        weights, multiply_adds = graph_cost(graph)
        network = core.compile_model(graph, "CPU", precision(core))
        empty = np.zeros((1, 1, PEER_SIZE, PEER_SIZE), np.float32)
        unseen = [case for case in cases if case.name in {f"case_{int(number):05}" for number in peer.unseen.split()}]
        numbers = path.with_suffix(".bin") if path.suffix == ".xml" else path
        row = {"network": peer.name, "weights": weights, "multiply_adds": multiply_adds}
        row |= {"file_mb": round(numbers.stat().st_size / 1e6, 2)}
        row |= {"cpu_ms": round(taking_turns({peer.name: (network, empty)})[peer.name] * 1000, 1)}
        row |= {"unseen_patients": len(unseen)}
        if unseen:
            theirs = [metrics.dice(_peer_labels(network, peer, case), case.labels > 0) for case in unseen]
            row |= {"kidney_or_tumor": metrics.summary(theirs)["mean"]}
            row |= {"wpunet_there": round(measure(ours, pixel_mm, unseen)["kidney_or_tumor"], 4)}
        rows.append(row)
    return rows


def graph_cost(graph: Any) -> tuple[int, int]:
    """Weights of an OpenVINO graph of fixed size, and the multiply-adds of its convolutions."""
    weights = multiply_adds = 0
    for node in graph.get_ops():
        kind = node.get_type_name()
        if kind == "Constant" and node.get_element_type().is_real():
            weights += int(np.prod(node.shape))
        elif "Convolution" in kind:  # kernels end with (channels of one side, rows, columns)
            turned = "Backprop" in kind
            places = (node.input(0) if turned else node.output(0)).get_shape()
            multiply_adds += int(np.prod(places) * np.prod(list(node.input(1).get_shape())[-3:]))
    return weights, multiply_adds


def _peer_labels(network: Any, peer: Peer, case: Case) -> np.ndarray:
    """What a peer marks in a case, bool (slice, row, column): [-125, 225] HU, each slice stretched to 0..255."""
    rows, columns = ((PEER_SIZE - size) // 2 for size in case.grey.shape[1:])
    box = (slice(rows, rows + case.grey.shape[1]), slice(columns, columns + case.grey.shape[2]))
    found = np.zeros(case.grey.shape, bool)
    for k, hu in enumerate(case.hu):
        field = np.full((PEER_SIZE, PEER_SIZE), -125.0, np.float32)
        field[box] = np.clip(hu, -125, 225)
        grey = np.floor((field - field.min()) / max(1.0, np.ptp(field)) * 255)
        x = np.ascontiguousarray((grey.T if peer.transposed else grey)[None, None])
        logits = network(x)[0][0, 0]
        found[k] = (logits.T if peer.transposed else logits)[box] > 0
    return found
