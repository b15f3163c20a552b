"""Pictures of how training went."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

NAMES = {"loss": "loss", "kidney_or_tumor": "Dice, kidney or tumor", "tumor": "Dice, tumor"}


def read_log(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of each column of a ``log.csv`` that holds numbers."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: ([int(row["step"]) for row in rows if row[name]], [float(row[name]) for row in rows if row[name]])
        for name in NAMES
    }


def plot_log(path: Path, picture: Path) -> None:
    """The learning curves of one run."""
    plot_runs({"": path}, picture)


def plot_runs(logs: dict[str, Path], picture: Path) -> None:
    """Loss and Dice of several runs, side by side in one PNG; the keys name the runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, len(NAMES))
    for axis, (name, title) in zip(axes, NAMES.items(), strict=True):
        for label, path in logs.items():
            steps, values = read_log(path)[name]
            axis.plot(steps, values, label=label, marker="." if name != "loss" else None, linewidth=1)
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
        axis.locator_params(axis="x", nbins=6)
        if name != "loss":
            axis.set_ylim(0, 1)
        if any(logs):
            axis.legend()
    figure.savefig(picture, dpi=110)


def plot_worst(shown: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]], picture: Path) -> None:
    """A column for each (title, HU, found, truth) of one slice: truth above, what was found below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(shown), 6.6), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, (title, hu, found, truth) in enumerate(shown):
        for axis, labels, name in ((axes[0][column], truth, "truth"), (axes[1][column], found, "found")):
            axis.imshow(hu, cmap="gray", vmin=-160, vmax=240)
            for value, colour in ((1, "red"), (2, "lime")):
                if (labels == value).any():
                    axis.contour(labels == value, [0.5], colors=colour, linewidths=1)
            axis.set_title(f"{title}: {name}", fontsize=8)
            axis.axis("off")
    figure.savefig(picture, dpi=90)


def plot_curve(points: dict[str, list[tuple[float, float, float]]], picture: Path) -> None:
    """Accuracy against sparsity: (sparsity, kidney-or-tumor, tumor) of each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, column, title in zip(figure.subplots(1, 2), (1, 2), ("kidney or tumor", "tumor"), strict=True):
        for method, of_method in points.items():
            axis.plot([p[0] for p in of_method], [p[column] for p in of_method], marker=".", label=method)
        axis.set(title=title, xlabel="share of weights removed", ylabel="Dice", ylim=(0, 1))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(picture, dpi=110)


def plot_outlines(hu: np.ndarray, labels: np.ndarray, picture: Path, across: int = 7) -> None:
    """Every slice (slice, row, column) around what is marked, with its outline."""
    from PIL import Image

    rows, columns = (np.flatnonzero(labels.any(axes)) for axes in ((0, 2), (0, 1)))
    box = tuple(slice(max(0, int(side[0]) - 10), int(side[-1]) + 10) for side in (rows, columns))
    tiles = []
    for one, marked in zip(hu[(slice(None), *box)], labels[(slice(None), *box)] > 0, strict=True):
        grey = np.clip((one.astype(np.float32) + 100) / 300 * 255, 0, 255).astype(np.uint8)
        tile = np.repeat(np.repeat(np.stack([grey] * 3, -1), 2, 0), 2, 1)
        large = np.repeat(np.repeat(marked, 2, 0), 2, 1)
        tile[(large != np.roll(large, 1, 0)) | (large != np.roll(large, 1, 1))] = (255, 60, 60)
        tile[0], tile[:, 0] = 90, 90
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    lines = [np.concatenate(tiles[first : first + across], 1) for first in range(0, len(tiles), across)]
    Image.fromarray(np.concatenate(lines)).save(picture)
