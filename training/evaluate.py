"""Measure weights on patients they have not seen: python -m training.evaluate --weights W --data DATA --output FOLDER

Writes ``evaluation.json`` and ``evaluation.md``: Dice per held-out patient on single slices, Dice on whole held-out
volumes through the whole engine, and what is found in CT where there is no tumor.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from wpunet import bundle, files, runtime
from wpunet.errors import InputError
from wpunet.labels import TUMOR
from wpunet.locate import whole
from wpunet.monitor import Monitor
from wpunet.predict import decide, predict
from wpunet.segment import Options, Result, Segmenter
from wpunet.volume import AXES_RAS, from_array

from training.data import HELD_OUT_VOLUMES, Slice, read_slices
from training.metrics import kits_dice, summary

# CT without kidney tumor, never trained on (the first two have kidneys).
TUMOR_FREE = (
    "test_only/portal_pelvis_to_neck.nii.gz",
    "ct_3mm/imaging.nii.gz",
    "dicom/abdomen_noncontrast",
    "unlabelled/noncontrast_lungbase_to_thigh.nii.gz",
    "unlabelled/arterial_chest_to_midkidney.nii.gz",
    "unlabelled/noncontrast_pelvis.nii.gz",
)
Figures = dict[str, Any]


def evaluate_slices(slices: list[Slice], network: runtime.Runtime, weights: bundle.Weights) -> list[Figures]:
    """Dice of each patient, pooled over the patient's slices at their own pixels; straight from the network."""
    patients: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for item in slices:
        patients.setdefault(item.case, []).append((_segment_slice(item, network, weights), item.labels))
    return [
        {"case": case, "slices": len(pairs)}
        | kits_dice(np.concatenate([f.ravel() for f, _ in pairs]), np.concatenate([t.ravel() for _, t in pairs]))
        for case, pairs in sorted(patients.items())
    ]


def _segment_slice(item: Slice, network: runtime.Runtime, weights: bundle.Weights) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = AXES_RAS.T * (5.0, item.pixel_mm, item.pixel_mm)
    volume = from_array(item.hu[None], affine)
    monitor = Monitor()
    maps = predict(volume, whole(volume), network, weights.pixel_mm, weights.temperature, True, monitor)
    return decide(maps, volume.hu.shape, monitor)[0][0]


def evaluate_volume(folder: Path, segmenter: Segmenter, options: Options) -> Figures:
    """Dice, volumes in ml and seconds of one case in KiTS19's layout, through the whole engine."""
    result = segmenter.segment_file(folder / "imaging.nii.gz", options)
    truth = files.read(folder / "segmentation.nii.gz").hu
    return {
        "case": folder.name,
        **kits_dice(result.labels, truth),
        **_volumes(result),
        "true_tumor_ml": round(float((truth == TUMOR).sum() * result.volume.voxel_ml), 1),
        "true_kidney_or_tumor_ml": round(float((truth > 0).sum() * result.volume.voxel_ml), 1),
        "seconds": round(sum(result.report.seconds.values()), 1),
    }


def _volumes(result: Result) -> Figures:
    return {
        "tumor_ml": round(float((result.labels == TUMOR).sum() * result.volume.voxel_ml), 1),
        "kidney_or_tumor_ml": round(float((result.labels > 0).sum() * result.volume.voxel_ml), 1),
    }


def evaluate_tumor_free(path: Path, segmenter: Segmenter, options: Options) -> Figures:
    """What is found in a CT that holds no kidney tumor."""
    result = segmenter.segment_file(path, options)
    return {"case": files.case_name(path), **_volumes(result), "warnings": len(result.report.warnings)}


def evaluate(weights_file: Path | None, data: Path, held_out: set[int] | None = None) -> Figures:
    """All figures of a bundle; patients held out are those that its card names, unless given."""
    segmenter = Segmenter(weights_file)
    weights = segmenter.weights
    held_out = held_out or set(weights.card.get("held_out_patients", []))
    if not held_out:
        raise InputError(f"The card of {weights.path} names no held_out_patients; say with --split who they are.")
    slices = [item for item in read_slices(data / "slices") if item.case in held_out]
    patients = evaluate_slices(slices, segmenter.runtime, weights)
    volumes = [
        evaluate_volume(data / "kits19" / "data" / f"case_{case:05}", segmenter, Options()) for case in HELD_OUT_VOLUMES
    ]
    return {
        "weights": weights.name,
        "sha256": weights.sha256,
        "runtime": segmenter.runtime.description,
        "slices": {
            "patients": len(patients),
            "slices": len(slices),
            "kidney_or_tumor": summary([one["kidney_or_tumor"] for one in patients]),
            "tumor": summary([one["tumor"] for one in patients]),
        },
        "volumes": volumes,
        "tumor_free": [evaluate_tumor_free(data / name, segmenter, Options()) for name in TUMOR_FREE],
        "per_patient": patients,
    }


def markdown(figures: Figures) -> str:
    """The figures as tables for a model card."""
    slices = figures["slices"]
    lines = [
        f"{figures['weights']}, SHA-256 `{figures['sha256'][:16]}…`, {figures['runtime']}",
        "",
        f"Single slices of {slices['patients']} patients held out ({slices['slices']} slices); Dice per patient:",
        "",
        "| | mean | SD | median | worst |",
        "|---|---|---|---|---|",
    ]
    for key in ("kidney_or_tumor", "tumor"):
        one = slices[key]
        lines.append(f"| {key} | {one['mean']:.3f} | {one['sd']:.3f} | {one['median']:.3f} | {one['worst']:.3f} |")
    lines += [
        "",
        "Whole volumes held out, through the whole engine:",
        "",
        "| | kidney-or-tumor | tumor | tumor ml (true) | kidney-or-tumor ml (true) |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['case']} | {one['kidney_or_tumor']:.3f} | {one['tumor']:.3f} | {one['tumor_ml']} "
        f"({one['true_tumor_ml']}) | {one['kidney_or_tumor_ml']} ({one['true_kidney_or_tumor_ml']}) |"
        for one in figures["volumes"]
    ]
    lines += [
        "",
        "CT without kidney tumor, not trained on; what is found there:",
        "",
        "| | tumor ml | kidney-or-tumor ml |",
        "|---|---|---|",
    ]
    lines += [f"| {one['case']} | {one['tumor_ml']} | {one['kidney_or_tumor_ml']} |" for one in figures["tumor_free"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--weights", type=Path, help="default: the bundled ones")
    arguments.add_argument(
        "--data", type=Path, required=True, help="folder with slices/, kits19/ and the tumor-free CT"
    )
    arguments.add_argument("--split", type=Path, help="split.json of a run, where the card names no held-out patients")
    arguments.add_argument("--output", type=Path, required=True)
    given = arguments.parse_args()
    held_out = set(json.loads(given.split.read_text())["held_out"]) if given.split else None
    figures = evaluate(given.weights, given.data, held_out)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    (given.output / "evaluation.md").write_text(markdown(figures), "utf-8")
    print(markdown(figures))


if __name__ == "__main__":
    main()
