"""The prepared set: one file a patient with its slices and their truth, and who is trained on and who is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from wpunet.errors import InputError
from wpunet.labels import TUMOR

from training import checkpoint
from training.tables import write_json

LOWEST_HU, HU_A_GREY = -500, 4  # what the network's window clips anyway is not kept
GROUPS = ("labelled", "kidney_free", "generated", "tumor_free")
HOW_TO_SEAL = "sealed in the config; training.train has --sealed, too, alone for nobody"
WHOLE = 20  # levels of a kind that a whole CT has at least; fewer are single slices


@dataclass(frozen=True)
class Case:
    """Slices of one patient.

    name:   the patient's, and after a space which part of what there is of him: "case_00002 z50"
    group:  "labelled", "kidney_free" (labels are all 0), "generated" (a phantom) or "tumor_free" (kidneys only)
    grey:   uint8 (slice, row, column), HU = -500 + 4 * grey; head to feet, to the back, to the patient's left
    labels: uint8, same shape: 0, 1 kidney, 2 tumor, 4 cyst
    source: where it came from: a name that the recipe gives a share to
    cysts:  whether cysts are marked as such; else they count as kidney, and label 1 means either
    notes:  what a person should look at before training on it; not read back
    """

    name: str
    group: str
    pixel_mm: float
    grey: np.ndarray
    labels: np.ndarray
    source: str = ""
    cysts: bool = False
    notes: tuple[str, ...] = ()

    @property
    def patient(self) -> str:
        """Whom it is of; who is held out or sealed is so in every source."""
        return patient_of(self.name)

    @property
    def hu(self) -> np.ndarray:
        """float32, same shape."""
        return self.grey.astype(np.float32) * HU_A_GREY + LOWEST_HU

    @property
    def digest(self) -> str:
        """Of the picture: equal for two copies of one scan, whatever their names."""
        return hashlib.sha256(self.grey.tobytes()).hexdigest()


def patient_of(name: str) -> str:
    """The patient of a case's name."""
    return name.split(" ", 1)[0]


def levels_of_whole_ct(cases: Iterable[Case]) -> list[Case]:
    """The levels of whole CT with truth that single slices of tumors lack, as cases to draw from on their own.

    Those above and those below all kidneys are of the group "kidney_free", those with kidney and no tumor "tumor_free".
    """
    found = []
    for case in cases:
        kidney = np.any(case.labels, axis=(1, 2))
        tumor = np.any(case.labels == TUMOR, axis=(1, 2))
        first, last = int(kidney.argmax()), len(kidney) - int(kidney[::-1].argmax())
        parts: list[tuple[str, str, slice | np.ndarray]] = [
            ("kidney_free", "above", slice(first)),
            ("kidney_free", "below", slice(last, None)),
        ]
        if case.group == "labelled":
            parts.append(("tumor_free", "beside", np.flatnonzero(kidney & ~tumor)))
        for group, where, levels in parts:
            grey, labels = case.grey[levels], case.labels[levels]
            if len(grey) >= WHOLE:
                found.append(replace(case, name=f"{case.name} {where}", group=group, grey=grey, labels=labels))
    return found


def to_grey(hu: np.ndarray) -> np.ndarray:
    """HU of any number type -> uint8."""
    return np.clip(np.rint((hu.astype(np.float32) - LOWEST_HU) / HU_A_GREY), 0, 255).astype(np.uint8)


def write_case(case: Case, path: Path, facts: dict[str, str]) -> None:
    """Write a case, whole or not at all; ``facts`` tell where it came from."""
    tensors = {"grey": torch.from_numpy(case.grey), "labels": torch.from_numpy(case.labels)}
    about = {"name": case.name, "group": case.group, "pixel_mm": case.pixel_mm, "digest": case.digest}
    about |= {"source": case.source, "cysts": case.cysts, "notes": case.notes}
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, tensors, about | facts)


def read_case(path: Path) -> Case:
    """Read what ``write_case`` wrote; raises InputError when the file is damaged."""
    try:
        tensors, about = checkpoint.load(path)
        case = Case(
            about["name"],
            about["group"],
            float(about["pixel_mm"]),
            tensors["grey"].numpy(),
            tensors["labels"].numpy(),
            about["source"],
            bool(about["cysts"]),
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and run training.prepare again.") from error
    if case.grey.shape != case.labels.shape:
        raise InputError(f"{path} is damaged (shapes differ); delete it and run training.prepare again.")
    return case


def read_prepared(folder: Path, group: str, patients: Iterable[str] | None = None) -> list[Case]:
    """The cases of a group, all or those of some patients, in the order of their names.

    Raises InputError when there is nothing of a patient in any group.
    """
    wanted = None if patients is None else set(patients)
    if wanted:
        missing = sorted(wanted - everybody(folder))
        if missing:
            raise InputError(
                f"{folder} has no case {missing[0]}, whom a split or a card names; mend the name there, or run "
                "training.prepare with its source, too."
            )
    names = [name for name in case_names(folder, group) if wanted is None or patient_of(name) in wanted]
    return [read_case(folder / group / f"{name}.safetensors") for name in names]


def case_names(folder: Path, group: str) -> list[str]:
    """The names of the cases of a group that the last training.prepare stands by, sorted.

    Raises InputError where there is no prepared set, or its preparation was interrupted the first time.
    """
    try:
        prepared = json.loads((folder / "prepared.json").read_text("utf-8"))["prepared"]
        return sorted(name for name, of_group in prepared.items() if of_group == group)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{folder} holds no prepared set; make one with training.prepare.") from error


def patient_names(folder: Path, group: str) -> list[str]:
    """The patients of a group's cases, sorted."""
    return sorted({patient_of(name) for name in case_names(folder, group)})


def everybody(folder: Path) -> set[str]:
    """The patients of all groups of a prepared set."""
    return {name for group in GROUPS for name in patient_names(folder, group)}


def split_patients(
    names: Iterable[str], held_out: int, fold: int = 0, sealed: Iterable[str] = (), seed: int = 7
) -> tuple[list[str], list[str]]:
    """Patients for training and patients held out (none where ``held_out`` is 0); the sealed ones are in neither.

    Raises InputError when there are not as many folds or patients, or none to train on.
    """
    there = set(names)
    free = sorted(there - set(sealed))
    if not free:
        why = f"all of its labelled patients are sealed ({', '.join(sorted(there))})" if there else "it labels nobody"
        raise InputError(
            f"Nobody of the prepared set can be trained on: {why}. Prepare other cases, or seal others ({HOW_TO_SEAL})."
        )
    if held_out == 0:
        return free, []
    parts = folds(there, held_out, sealed, seed)
    if not 0 <= fold < len(parts):
        raise InputError(f"There is no fold {fold}; with {held_out} held out there are folds 0 to {len(parts) - 1}.")
    return [name for name in free if name not in parts[fold]], parts[fold]


def folds(names: Iterable[str], held_out: int, sealed: Iterable[str] = (), seed: int = 7) -> list[list[str]]:
    """The patients but the sealed ones divided at random for a cross-validation; raises InputError when that cannot be.

    Fold 0 has ``held_out`` patients; the further folds divide the others evenly, so that each patient is in one.
    """
    there = set(names)
    away = there & set(sealed)
    free = sorted(there - away)
    if not 0 < held_out < len(free):
        but = f" but the sealed ({', '.join(sorted(away))})" if away else ""
        raise InputError(
            f"{held_out} patients cannot be held out of the {len(there)} labelled ones of the prepared set{but}, with "
            "one at least to train on; change held_out in the config (training.train has --held-out, too; 0: nobody)."
        )
    draw = np.random.default_rng(seed)
    first = sorted(str(name) for name in draw.choice(free, held_out, replace=False))
    rest = [str(name) for name in draw.permutation([name for name in free if name not in first])]
    parts = np.array_split(rest, max(1, round(len(rest) / held_out)))
    return [first, *(sorted(str(name) for name in part) for part in parts)]


def write_split(path: Path, training: list[str], held_out: list[str]) -> None:
    """Keep who is trained on and who is not; refuses a split with a patient on both sides (InputError)."""
    check_split(training, held_out)
    write_json({"training": training, "held_out": held_out}, path)


def read_split(path: Path) -> tuple[list[str], list[str]]:
    """Training and held-out patients of a file that ``write_split`` or a person wrote."""
    try:
        split = json.loads(path.read_text("utf-8"))
        training, held_out = list(map(str, split["training"])), list(map(str, split["held_out"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The split {path} cannot be read ({error}); give a file with training and held_out."
        ) from error
    check_split(training, held_out)
    return training, held_out


def check_split(training: list[str], held_out: list[str]) -> None:
    """Raises InputError where a patient is on both sides."""
    both = sorted(set(training) & set(held_out))
    if both:
        raise InputError(f"The split has patients on both sides ({', '.join(both)}); a patient belongs to one.")
