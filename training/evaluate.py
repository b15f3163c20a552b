"""Measure weights on patients they have not seen: python -m training.evaluate --output FOLDER [--data PREPARED] ...

Single slices of held-out patients (straight from the network), whole volumes with truth in KiTS19's layout, with or
without tumor, and CT that hold no kidney tumor (both through the whole engine). Writes ``evaluation.json``, ``.md`` and
``.csv``, and pictures of the worst patients.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from wpunet import files, runtime
from wpunet.arrays import on_host
from wpunet.bundle import Weights
from wpunet.errors import InputError
from wpunet.labels import TUMOR, together
from wpunet.locate import whole
from wpunet.monitor import Monitor
from wpunet.predict import decide, predict
from wpunet.segment import Options, Result, Segmenter
from wpunet.volume import AXES_RAS, from_array

from training import metrics
from training.blind import blind, by_density
from training.command import command
from training.data import Case, read_prepared, read_split
from training.pictures import plot_worst
from training.tables import markdown_table, write_csv, write_json, write_text
from training.truth import pair, read_pair

Figures = dict[str, Any]
IN_DOUBT = 8.0  # logit; background beyond it is so easy and so much that calibration would count nothing else


def shown(items: list[Any]) -> Iterable[Any]:
    """The same one by one, with a bar on a terminal: whole CT take seconds each."""
    return tqdm(items, unit="case", disable=not sys.stderr.isatty())


def segment_slices(case: Case, network: runtime.Runtime, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint8 and kidney-or-tumor logits float32 of every slice at its own pixels, (slice, row, column)."""
    affine = np.eye(4)
    affine[:3, :3] = AXES_RAS.T * (100.0, case.pixel_mm, case.pixel_mm)  # thick enough that each slice stays alone
    volume = from_array(case.hu, affine)
    monitor = Monitor()
    maps = predict(volume, whole(volume), network, weights.pixel_mm, weights.temperature, True, monitor)
    logits = np.stack([on_host(maps.grid.to_ct(one.astype(np.float32))) for one in maps.foreground])
    return decide(maps, volume.hu.shape, monitor)[0], logits


def evaluate_slices(cases: list[Case], network: runtime.Runtime, weights: Weights) -> Figures:
    """Dice of each patient pooled over its slices, the paper's slice-wise figures, calibration, and what is invented.

    Cases of the group "labelled" count for Dice; all of them, with or without kidney, for calibration and the rest.
    """
    answers, doubtful, marked = [], [], []
    for case in shown(cases):
        labels, logits = segment_slices(case, network, weights)
        answers.append(labels)
        close = (np.abs(logits) < IN_DOUBT) | (labels > 0) | (case.labels > 0)
        doubtful.append(logits[close])
        marked.append(case.labels[close] > 0)
    labelled = _labelled(cases, answers)
    patients = _pooled(labelled)
    watery = [by_density(case, found) for case, found in zip(cases, answers, strict=True)]
    close_logits, close_truth = np.concatenate(doubtful), np.concatenate(marked)
    certainty = 1 / (1 + np.exp(-np.abs(close_logits)))
    return {
        "patients": len({case.patient for case in cases}),
        "slices": sum(len(case.labels) for case in cases),
        **{key: metrics.summary([one[key] for one in patients]) for key in ("kidney_or_tumor", "tumor", "composite")},
        "tumor_by_size": by_size(patients),
        "paper": _paper(labelled),
        "blind": blind(zip(cases, answers, strict=True)),
        "rule_on_water": {
            "tumor": metrics.summary([one["tumor"] for one in _pooled(_labelled(cases, watery))]),
            "cysts": blind(zip(cases, watery, strict=True))["cysts"],
        },
        "calibration": metrics.calibration(certainty, (close_logits > 0) == close_truth)
        | {"suggested_temperature": metrics.temperature(close_logits, close_truth)},
        "per_patient": patients,
    }


def _paper(labelled: list[tuple[Case, np.ndarray]]) -> dict[str, float] | None:
    """The paper's figures of these cases and what was found in them; None without any."""
    if not labelled:
        return None
    return metrics.slice_scores(
        _flat([together(found) for _, found in labelled]), _flat([together(one.labels) for one, _ in labelled])
    )


def _labelled(cases: list[Case], answers: list[np.ndarray]) -> list[tuple[Case, np.ndarray]]:
    return [pair for pair in zip(cases, answers, strict=True) if pair[0].group == "labelled"]


def _pooled(pairs: list[tuple[Case, np.ndarray]]) -> list[Figures]:
    """The figures of each patient of these cases and what was found in them."""
    names = dict.fromkeys(case.patient for case, _ in pairs)
    return [_patient([pair for pair in pairs if pair[0].patient == name]) for name in names]


def _flat(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([one.ravel() for one in arrays])


def _patient(pairs: list[tuple[Case, np.ndarray]]) -> Figures:
    """The figures of one patient: its cases, and what was found in them."""
    mm2 = max(float((case.labels == TUMOR).sum((1, 2)).max()) * case.pixel_mm**2 for case, _ in pairs)
    return {
        "case": pairs[0][0].patient,
        "slices": sum(len(case.labels) for case, _ in pairs),
        "tumor_mm": round(2 * float(np.sqrt(mm2 / np.pi)), 1),
        **metrics.kits_dice(_flat([found for _, found in pairs]), _flat([case.labels for case, _ in pairs])),
    }


def by_size(patients: list[Figures]) -> Figures:
    """Tumor Dice of patients with small, medium and large tumors, by the diameter in their largest slice."""
    small, large = metrics.SIZES_MM
    sizes = {f"under {small:g} mm": (0, small), f"{small:g} to {large:g} mm": (small, large)}
    sizes[f"above {large:g} mm"] = (large, np.inf)
    return {
        name: metrics.summary([one["tumor"] for one in patients if low <= one["tumor_mm"] < high])
        for name, (low, high) in sizes.items()
    }


def evaluate_volume(folder: Path, segmenter: Segmenter, options: Options = Options()) -> Figures:
    """Every figure of one case in KiTS19's layout, through the whole engine."""
    imaging, segmentation = pair(folder)
    truth = read_pair(imaging, segmentation)[1]  # before the work: the mask may be of another CT
    result = segmenter.segment_file(imaging, options)
    labels, spacing = result.labels, result.volume.spacing
    surfaces = {
        f"{name}_{key}": value
        for name, f, t in (("kidney", labels > 0, truth > 0), ("tumor", labels == TUMOR, truth == TUMOR))
        for key, value in metrics.surface(f, t, spacing).items()
    }
    return {
        "case": folder.name,
        **metrics.kits_dice(labels, truth),
        "kidneys_missed": metrics.kidneys_missed(labels > 0, truth > 0, result.volume.voxel_ml),
        **surfaces,
        **metrics.surplus(labels > 0, truth > 0, result.volume.voxel_ml),
        "lesions": metrics.lesions(labels == TUMOR, truth == TUMOR, result.volume.voxel_ml),
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


def evaluate_tumor_free(path: Path, segmenter: Segmenter, options: Options = Options()) -> Figures:
    """What is found in a CT that holds no kidney tumor."""
    result = segmenter.segment_file(path, options)
    return {"case": files.case_name(path), **_volumes(result), "warnings": [one.text for one in result.report.warnings]}


def evaluate(
    segmenter: Segmenter,
    cases: list[Case],
    volumes: list[Path],
    tumor_free: list[Path],
    options: Options = Options(),
) -> Figures:
    """All that was asked for; ``options`` are those for whole CT."""
    figures: Figures = {
        "weights": segmenter.weights.name,
        "sha256": segmenter.weights.sha256,
        "runtime": segmenter.runtime.description,
    }
    if cases:
        figures["slices"] = evaluate_slices(cases, segmenter.runtime, segmenter.weights)
    figures["volumes"] = [evaluate_volume(folder, segmenter, options) for folder in shown(volumes)]
    figures["tumor_free"] = [evaluate_tumor_free(path, segmenter, options) for path in shown(tumor_free)]
    return figures


def draw_worst(figures: Figures, cases: list[Case], segmenter: Segmenter, picture: Path, count: int = 4) -> None:
    """The slice with most wrong pixels of each of the patients with the lowest figures; a cyst counts as kidney."""
    worst = sorted(figures["slices"]["per_patient"], key=lambda one: one["composite"] or one["kidney_or_tumor"] or 0)
    by_name = {case.patient: case for case in cases if case.group == "labelled"}
    shown = []
    for one in worst[:count]:
        case = by_name[one["case"]]
        labels, truth = together(segment_slices(case, segmenter.runtime, segmenter.weights)[0]), together(case.labels)
        at = int((labels != truth).reshape(len(labels), -1).sum(1).argmax())
        shown.append((case.name, case.hu[at], labels[at], truth[at]))
    plot_worst(shown, picture)


def markdown(figures: Figures) -> str:
    """The figures as tables for a model card."""
    lines = [f"{figures['weights']}, SHA-256 `{figures['sha256'][:16]}…`, {figures['runtime']}", ""]
    if "slices" in figures:
        lines += _slice_table(figures["slices"])
    if figures["volumes"]:
        lines += ["Whole volumes, through the whole engine:", "", *_table(figures["volumes"], _OF_VOLUMES)]
        lines += ["Tumors found, missed, invented:", ""]
        lines += [f"- {v['case']}: " + ", ".join(str(v["lesions"][k]) for k in _LESIONS) for v in figures["volumes"]]
        lines.append("")
    if figures["tumor_free"]:
        lines += ["CT without kidney tumor; what is found there:", ""]
        lines += _table(figures["tumor_free"], ("tumor_ml", "kidney_or_tumor_ml"))
    return "\n".join(lines).rstrip() + "\n"


_OF_VOLUMES = (
    "kidney_or_tumor",
    "tumor",
    "kidney_surface_dice",
    "kidney_hd95_mm",
    "kidneys_missed",
    "surplus_ml",
    "surplus_in_hollow_ml",
    "tumor_ml",
    "true_tumor_ml",
)
_LESIONS = ("found", "missed", "false")


def _slice_table(slices: Figures) -> list[str]:
    named = {"kidney or tumor": slices["kidney_or_tumor"], "tumor": slices["tumor"], "composite": slices["composite"]}
    named |= {f"tumor, {size}": one for size, one in slices["tumor_by_size"].items()}
    lines = [
        f"Single slices of {slices['patients']} patients held out ({slices['slices']} slices); Dice per patient:",
        "",
    ]
    lines += dice_table(named)
    paper, told = slices["paper"], ""
    if paper:
        told = (
            f"Slice-wise, as in the paper: accuracy {paper['accuracy']:.4f}, mean IoU {paper['mean_iou']:.3f}, mean "
            f"Dice {paper['mean_dice']:.3f}. "
        )
    lines += [
        "",
        f"{told}Expected calibration error {slices['calibration']['error']:.3f}; a temperature of "
        f"{slices['calibration']['suggested_temperature']} times the bundle's would suit these patients.",
        "",
        *_blind_lines(slices["blind"]),
        *_water_lines(slices["rule_on_water"]),
    ]
    return lines


def _blind_lines(counts: Figures) -> list[str]:
    """What was marked on slices that were not chosen for their tumor."""
    kidney, tumor = counts["without_kidney"], counts["without_tumor"]
    return [
        f"Slices without kidney: {kidney['slices']}, with more than 1 cm2 marked: {kidney['false_alarms']}. "
        f"Slices with kidney and no tumor: {tumor['slices']}, with more than 0.5 cm2 of tumor marked: "
        f"{tumor['false_alarms']}. "
        f"{_cysts_in_words(counts['cysts'])}",
        "",
    ]


def _water_lines(ruled: Figures) -> list[str]:
    """The same after the engine's rule on water."""
    if not ruled["tumor"]["n"]:
        return []
    return [
        f"With the engine's rule on water, slice by slice: tumor {ruled['tumor']['mean']:.3f}. "
        f"{_cysts_in_words(ruled['cysts'])}",
        "",
    ]


def _cysts_in_words(cysts: dict[str, int]) -> str:
    return (
        f"Cysts of at least 10 mm: {cysts['cysts']}, called cyst: {cysts['called_cyst']}, called tumor: "
        f"{cysts['called_tumor']}, not marked: {cysts['not_marked']}."
    )


def dice_table(named: dict[str, dict[str, float]]) -> list[str]:
    """Lines of a table with a row for each summary of Dice over patients that has any."""
    rows = (
        [name, str(one["n"]), *(f"{one[key]:.3f}" for key in ("mean", "sd", "median", "worst"))]
        for name, one in named.items()
        if one["n"]
    )
    return markdown_table(("", "patients", "mean", "SD", "median", "worst"), rows)


def _table(rows: list[Figures], columns: tuple[str, ...]) -> list[str]:
    def text(value: float | None) -> str:
        if value is None or isinstance(value, int):
            return "" if value is None else str(value)
        return f"{value:.3f}" if value < 1 else f"{value:.1f}"

    body = ([one["case"], *(text(one[name]) for name in columns)] for one in rows)
    return [*markdown_table(("", *columns), body), ""]


def write(figures: Figures, folder: Path) -> None:
    """JSON with everything, Markdown for reading, CSV with a row for each patient, volume and tumor-free CT."""
    write_json(figures, folder / "evaluation.json")
    write_text(markdown(figures), folder / "evaluation.md")
    patients = figures["slices"]["per_patient"] if "slices" in figures else []
    write_csv([*patients, *figures["volumes"], *figures["tumor_free"]], folder / "evaluation.csv")


def arguments_of(description: str | None) -> argparse.ArgumentParser:
    """A command line that names weights, patients that they have not seen, and a folder for what is told of them."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--weights", type=Path, help="default: the bundled ones")
    add("--data", type=Path, help="prepared set, for the held-out patients' slices")
    add("--split", type=Path, help="split.json of the run; default: the held_out_patients of the weights' card")
    add("--volumes", type=Path, nargs="*", default=[], help="whole cases in KiTS19's layout that were not trained on")
    add("--tumor-free", type=Path, nargs="*", default=[], help="CT without kidney tumor")
    add("--output", type=Path, required=True)
    return arguments


def require_some(given: argparse.Namespace) -> None:
    """Raises InputError where a command line of ``arguments_of`` names nobody to measure."""
    if not (given.data or given.volumes or given.tumor_free):
        raise InputError("There is nothing to measure; name some, as --volumes CASE (--help tells all).")


@command("evaluate")
def main() -> int:
    arguments = arguments_of(__doc__)
    arguments.add_argument(
        "--parenchyma",
        action="store_true",
        help="mark the parenchyma of kidneys alone in whole CT, for masks that leave the renal sinus out",
    )
    given = arguments.parse_args()
    require_some(given)
    options = Options(parenchyma=given.parenchyma)
    segmenter = Segmenter(given.weights)
    cases = held_out_cases(given.data, given.split, segmenter.weights) if given.data else []
    figures = evaluate(segmenter, cases, given.volumes, given.tumor_free, options)
    write(figures, given.output)
    if cases and figures["slices"]["per_patient"]:
        draw_worst(figures, cases, segmenter, given.output / "worst.png")
    print(markdown(figures))
    return 0


def held_out_cases(data: Path, split: Path | None, weights: Weights) -> list[Case]:
    """The prepared slices of patients that the weights have not seen; raises InputError where nobody says who."""
    names = read_split(split)[1] if split else weights.card.get("held_out_patients", [])
    if not names:
        raise InputError(f"The card of {weights.path} names no held_out_patients; say with --split who they are.")
    return [case for group in ("labelled", "tumor_free", "kidney_free") for case in read_prepared(data, group, names)]


if __name__ == "__main__":
    sys.exit(main())
