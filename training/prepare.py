"""Make the prepared set: python -m training.prepare --output PREPARED [--kits FOLDER]... [--slices FOLDER] ...

Sources: cases in KiTS19's layout (KiTS19 itself, or one's own that were corrected), folders of single slices,
unlabelled CT with levels that surely hold no kidney, phantoms. A source is called as its folder; training.train draws
each by its share. Every case is checked; what is left out is told with the
reason, in ``prepared.json`` too. Stop it at any time: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from wpunet import check, files, label_maps, outputs
from wpunet.bodies import bodies
from wpunet.errors import InputError
from wpunet.labels import CYST, KIDNEY, LEFT_KIDNEY, NO_CASE, together
from wpunet.predict import SLAB_MM, mean_slabs

from training import checkpoint
from training.command import command
from training.data import Case, patient_of, to_grey, write_case
from training.metrics import KIDNEY_ML
from training.phantoms import phantom_case
from training.slices import KITS23_CYST, slice_sources
from training.source import Source, source_name
from training.tables import write_json
from training.truth import all_of, pair, read_pair

# Levels without kidney of known CT, by eye, counted from the head; others of such a folder are left alone.
KIDNEY_FREE = {
    "noncontrast_neck_to_thigh": ((0, 108), (164, 10_000)),
    "noncontrast_lungbase_to_thigh": ((0, 17), (56, 10_000)),
    "arterial_chest_to_midkidney": ((0, 95),),
    "contrast_chest_oral_contrast": ((0, 10_000),),
    "noncontrast_pelvis": ((5, 10_000),),
}
BODY_HU = -300
TISSUE_HU, LEAST_TISSUE = (-20, 350), 0.85  # of what is marked: 14 real CT have 0.87 and more, mirrored most have less


def kits_sources(folder: Path, group: str = "labelled", *, kits23: bool = False) -> Iterator[Source]:
    """Cases in KiTS19's layout: ``case_XXXXX/{imaging,segmentation}.nii.gz``; a case is called as its folder.

    ``kits23``: label 3 of the masks is the cyst, and cysts are told; else it is the left kidney.
    """
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if any(one.exists() for one in pair(folder)):
        raise InputError(f"{folder} is a case itself; give the folder that holds it.")
    if not any(one.exists() for path in folders for one in pair(path)):
        raise InputError(
            f"{folder} holds no case in KiTS19's layout (case_00000/imaging.nii.gz and segmentation.nii.gz)."
        )
    for path in folders:
        load = partial(kits_case, path.name, *pair(path), group, source_name(folder), kits23=kits23)
        yield Source(path.name, group, all_of(path), load)


def kits_case(
    name: str, imaging: Path, segmentation: Path, group: str = "labelled", source: str = "", *, kits23: bool = False
) -> Case:
    """A CT and its mask: slabs of at most 1.6 mm as in inference, without the air around the body.

    In the group "tumor_free" all that is marked counts as kidney: so a machine's mask of healthy kidneys serves. Cysts
    are told where any is marked.
    """
    volume, mask = read_pair(imaging, segmentation)
    if not mask.any():
        raise InputError(f"{segmentation} is empty: no kidney is marked.")
    if group == "labelled" and not np.isin(mask, KIDNEY if kits23 else (KIDNEY, LEFT_KIDNEY)).any():
        raise InputError(f"{segmentation} marks no kidney; mark whole kidneys, not what lies in them alone.")
    if group == "labelled" and outputs.holds_parenchyma(segmentation):
        raise InputError(f"{segmentation}: {NO_CASE}")
    rows_mm, columns_mm = volume.spacing[1:]
    if abs(rows_mm - columns_mm) > 0.01 * rows_mm:
        raise InputError(f"{imaging} has pixels of {rows_mm:.2f} x {columns_mm:.2f} mm; resample it to square ones.")
    volume, notes = check.check(volume)
    tissue = _share_of_tissue(volume.hu, mask)
    if tissue < LEAST_TISSUE:
        notes = (*notes, f"Of what is marked {1 - tissue:.0%} is fat, air or bone: does the mask lie on its image?")
    if np.count_nonzero(bodies(mask > 0).voxels * volume.voxel_ml >= KIDNEY_ML) < 2:
        notes = (*notes, "Only one kidney is marked: a second one in the CT would be learned as none.")
    step = max(1, int(SLAB_MM / volume.spacing[0] + 1e-3))
    hu = mean_slabs(volume.hu, step)
    middle = np.minimum(np.arange(len(hu)) * step + step // 2, len(mask) - 1)
    labels = mask[middle]
    if kits23:
        named = outputs.is_ours(segmentation) or files.ending_of(segmentation) == label_maps.SEGMENTS
        if named and LEFT_KIDNEY in labels:
            raise InputError(f"{segmentation} tells left kidneys, which are no cysts; give it with --kits.")
        labels[labels == KITS23_CYST] = CYST
    labels = together(labels, cysts=True)
    if group == "tumor_free":
        labels = np.minimum(labels, KIDNEY)
    body = np.any(hu > BODY_HU, axis=0)
    rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
    box = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cysts = kits23 or bool((labels == CYST).any())
    if cysts and not kits23:
        notes = (*notes, "Cysts are marked: what of them is not would be learned as kidney; mark all, or none.")
    labels = np.ascontiguousarray(labels[box])
    return Case(name, group, volume.spacing[1], to_grey(hu[box]), labels, source, cysts, notes)


def _share_of_tissue(hu: np.ndarray, mask: np.ndarray) -> float:
    """How much of what is marked has the HU of kidneys and lesions."""
    marked = hu[mask > 0]
    return float(((marked > TISSUE_HU[0]) & (marked < TISSUE_HU[1])).mean())


def kidney_free_sources(folder: Path) -> Iterator[Source]:
    """The CT of ``KIDNEY_FREE`` that ``folder`` holds; raises InputError where it holds none."""
    there = {name: path for name in KIDNEY_FREE if (path := folder / f"{name}.nii.gz").exists()}
    if not there:
        raise InputError(f"{folder} holds none of the CT whose levels are known: {', '.join(KIDNEY_FREE)} (.nii.gz).")
    for name, path in there.items():
        load = partial(kidney_free_case, name, path, KIDNEY_FREE[name], source_name(folder))
        yield Source(name, "kidney_free", (path,), load)


def kidney_free_case(name: str, path: Path, ranges: tuple[tuple[int, int], ...], source: str = "") -> Case:
    """The levels of a CT that hold no kidney."""
    volume, _ = check.check(files.read(path))
    grey = to_grey(np.concatenate([volume.hu[first:last] for first, last in ranges]))
    return Case(name, "kidney_free", volume.spacing[1], grey, np.zeros_like(grey), source)


def phantom_sources(count: int) -> Iterator[Source]:
    """Phantoms, each another patient."""
    for number in range(count):
        yield Source(f"phantom_{number:03}", "generated", (), partial(phantom_case, number))


def prepare(sources: list[Source], output: Path) -> dict[str, dict[str, Any]]:
    """Write each source's case; returns {"prepared": {name: group}, "left_out": {name: reason}, "look_at": ...}.

    The last is what a person should look at in cases that are prepared: {name: notes}.
    """
    prepared: dict[str, str] = {}
    left_out: dict[str, str] = {}
    look_at: dict[str, list[str]] = {}
    digests: dict[str, str] = {}
    output.mkdir(parents=True, exist_ok=True)
    for source in tqdm(sources, unit="case", disable=not sys.stderr.isatty()):
        path = output / source.group / f"{source.name}.safetensors"
        try:
            if source.name in prepared:
                raise InputError(f"{source.paths[0].parent}: the case {source.name} comes twice; the first one stays.")
            digest, notes = _prepare_one(source, path, digests)
        except InputError as error:
            if source.name not in prepared:
                path.unlink(missing_ok=True)  # of an earlier run, when it was still good
            left_out[f"{source.name} ({source.paths[0].parent if source.paths else 'phantom'})"] = str(error)
            continue
        prepared[source.name] = source.group
        digests[digest] = source.name
        if notes:
            look_at[source.name] = notes
    report: dict[str, dict[str, Any]] = {"prepared": prepared, "left_out": left_out, "look_at": look_at}
    write_json(report, output / "prepared.json")
    return report


def _prepare_one(source: Source, path: Path, digests: dict[str, str]) -> tuple[str, list[str]]:
    """Write a case unless it is there already; returns the digest of its picture, and its notes."""
    about: dict[str, Any] = {}
    if path.exists():
        with suppress(OSError, ValueError):
            about = checkpoint.facts(path)
    there = about.get("fingerprint") == source.fingerprint
    case = None if there else source.load()
    digest = case.digest if case else about["digest"]
    if digest in digests:
        raise InputError(f"{source.name} is the same scan as {digests[digest]}.")
    if case:
        write_case(case, path, {"fingerprint": source.fingerprint})
    return digest, list(case.notes) if case else about.get("notes", [])


@command("prepare")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--output", type=Path, required=True)
    add("--kits", type=Path, action="append", default=[], help="folder of cases in KiTS19's layout; may come often")
    add("--kits23", type=Path, action="append", default=[], help="likewise, but 3 in its masks is a cyst")
    add(
        "--tumor-free",
        type=Path,
        action="append",
        default=[],
        help="folder of cases in KiTS19's layout whose kidneys have no tumor; may come often",
    )
    add("--slices", type=Path, action="append", default=[], help="folder with slices.csv, images/ and masks/; likewise")
    add("--unlabelled", type=Path, help="folder of the CT whose kidney-free levels are known")
    add("--phantoms", type=int, default=0, help="how many to generate")
    given = arguments.parse_args()
    sources = [source for folder in given.kits for source in kits_sources(folder)]
    sources += [source for folder in given.kits23 for source in kits_sources(folder, kits23=True)]
    sources += [source for folder in given.tumor_free for source in kits_sources(folder, "tumor_free")]
    sources += [source for folder in given.slices for source in slice_sources(folder)]
    sources += kidney_free_sources(given.unlabelled) if given.unlabelled else []
    sources += phantom_sources(given.phantoms)
    if not sources:
        raise InputError("There is nothing to prepare; name a source, as --kits FOLDER (--help tells all).")
    report = prepare(sources, given.output)
    for name, reason in report["left_out"].items():
        print(f"left out {name}: {reason}")
    for name, notes in report["look_at"].items():
        print(f"look at {name}: {' '.join(notes)}")
    patients = len({patient_of(name) for name in report["prepared"]})
    print(
        f"{len(report['prepared'])} cases of {patients} patients prepared in {given.output}, "
        f"{len(report['left_out'])} left out"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
