"""What speaks against a result: doubts about structures, and what to know before using the numbers.

Each limit is a round number of the literature or of anatomy; none was fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .bodies import Removed
from .boxes import Box
from .contrast import CORTICOMEDULLARY, ENHANCED_HU, PLAIN, kidney_hu, phase
from .structure import Caution, Structure

ADULT_KIDNEY_ML = (60.0, 400.0)
LARGE_ML = 30.0  # a body of this size that was taken away is worth a look: a kidney may have been lost
LEAST_CHANCE = 0.5
SURE_CYST = 0.9  # urine in the sinus looks like a cyst's fluid: less than this is a doubt there
WATER_HU = 20.0  # Bosniak: a simple cyst has less
FAT_HU = -10.0  # an angiomyolipoma has less somewhere; here on average
MANY = 3  # tumors; more are rare
OUTSIDE_PERCENT, LEAST_CONTACT = 80.0, 0.2  # contact: as a share of the surface of a ball of the same volume
SOFT_PERCENT, GAS_PERCENT = 50.0, 5.0
LEAST_SPLIT_PERCENT = 40.0
MOST_LONGER_MM = 20.0
LONGEST_MM = 180.0  # an adult kidney has 90 to 140 mm

CODES = {  # of a structure: what is said of it
    "low_chance": "has a chance of only {chance:.0%} to be one",
    "water": "is as dense as water ({core} HU inside), perhaps a cyst",
    "fat": "holds fat ({core} HU inside), perhaps an angiomyolipoma, or fat beside the kidney",
    "pelvis": "reaches the renal sinus, perhaps the renal pelvis or a calyx",
    "outside": "lies largely outside the kidney ({outside:.0f} %) and hardly touches it ({contact:.1f} cm²)",
    "soft": "borders on other soft tissue over {soft:.0f} % of its surface, perhaps liver, spleen or bowel",
    "gas": "borders on gas, perhaps bowel",
    "many": "is one of {count} tumors, which is rare",
}
# Codes of what stays true whatever a person corrects afterwards
OF_RUN = ("input", "sides", "removed", "parenchyma", "run")


def judge(
    structures: Sequence[Structure],
    labels: np.ndarray,
    hu: np.ndarray,
    within: Box | None = None,
    try_next: str | None = None,
) -> tuple[tuple[Structure, ...], tuple[Caution, ...]]:
    """The structures with their doubts, and the warnings to tell.

    labels (values of labels.BY_SIDE), hu: (slice, row, column); within: a box outside of which nothing is marked;
    try_next: what another run could find a kidney with, where none was found
    """
    if not structures:
        text = "No kidney was found. If there is one, look at orientation and HU scale of the CT"
        return (), (Caution("nothing", f"{text}, or try {try_next}." if try_next else f"{text}."),)
    tumors = sum(one.kind == "tumor" for one in structures)
    judged = tuple(replace(one, doubts=tuple(_doubts(one, tumors))) for one in structures)
    about = [_sentence(one, tumors) for one in judged if one.doubts]
    return judged, (*_contrast(judged, kidney_hu(hu, labels, within)), *_cut(judged), *about, *_kidneys(judged))


def of_removed(removed: Sequence[Removed], affine: np.ndarray) -> tuple[Caution, ...]:
    """Warnings of large bodies that the rules took away; affine: (slice, row, column, 1) -> RAS mm."""
    told = []
    for ml, centre in removed:
        if ml >= LARGE_ML:
            r, a, s = (affine[:3, :3] @ np.array(centre) + affine[:3, 3]).round().astype(int).tolist()
            where = f"around {r}, {a}, {s} mm (RAS)"
            text = f"A body of {ml:.0f} ml {where} was not taken for a kidney and left out; look there."
            told.append(Caution("removed", text))
    return tuple(told)


def _doubts(one: Structure, tumors: int) -> Iterator[str]:
    if one.kind == "kidney":
        return
    if one.certainty is not None and one.certainty < LEAST_CHANCE:
        yield "low_chance"
    core = one.core_hu
    if core is not None and core < FAT_HU:
        yield "fat"
    if one.kind == "cyst":
        unsure = one.certainty is not None and one.certainty < SURE_CYST
        if unsure and one.to_sinus is not None and one.to_sinus.mm == 0:
            yield "pelvis"
        return
    if core is not None and FAT_HU <= core < WATER_HU:
        yield "water"
    if (one.outside_percent or 0) >= OUTSIDE_PERCENT and _contact(one) < LEAST_CONTACT:
        yield "outside"
    if (one.soft_percent or 0) >= SOFT_PERCENT:
        yield "soft"
    if (one.gas_percent or 0) >= GAS_PERCENT:
        yield "gas"
    if tumors > MANY:
        yield "many"


def _contact(one: Structure) -> float:
    """The surface shared with the kidney over that of a ball of the same volume."""
    ball_cm2 = np.pi ** (1 / 3) * (6 * one.volume_ml) ** (2 / 3)
    return float((one.contact_cm2 or 0.0) / ball_cm2)


def _sentence(one: Structure, tumors: int) -> Caution:
    numbers = {
        "chance": one.certainty or 0.0,
        "core": round(one.core_hu or 0.0),
        "outside": one.outside_percent or 0.0,
        "contact": one.contact_cm2 or 0.0,
        "soft": one.soft_percent or 0.0,
        "count": tumors,
    }
    reasons = [CODES[code].format(**numbers) for code in one.doubts]
    return Caution(one.doubts[0], f"The {one.name} is doubtful: it {'; it '.join(reasons)}.", one.name)


def _contrast(structures: Sequence[Structure], tissue_hu: float | None) -> Iterator[Caution]:
    if tissue_hu is None:
        yield Caution("no_kidney", "Tumor but no kidney tissue was found; check the result.")
    elif tissue_hu < ENHANCED_HU:
        text = f"Probably without contrast (kidney tissue {tissue_hu:.0f} HU): tumors are hardly visible, check them."
        yield Caution(PLAIN, text)
    elif phase(structures, plain=False) == CORTICOMEDULLARY:
        yield Caution(
            "contrast",
            "Corticomedullary phase (the medulla is still dark): tumors in the medulla can be missed.",
        )


def _cut(structures: Sequence[Structure]) -> Iterator[Caution]:
    for one in structures:
        if one.touches_border:
            text = f"The {one.name} is cut by the edge of the scan; its volume is a lower bound."
            yield Caution("cut", text, one.name)


def _kidneys(structures: Sequence[Structure]) -> Iterator[Caution]:
    kidneys = [one for one in structures if one.kind == "kidney"]
    if len(kidneys) == 1:
        yield Caution("one_kidney", f"Only the {kidneys[0].name} was found.", kidneys[0].name)
    low, high = ADULT_KIDNEY_ML
    for one in kidneys:
        if one.size.mm > LONGEST_MM:
            text = f"The {one.name} is {one.size.mm:.0f} mm long, perhaps two bodies (a transplant?); check it."
            yield Caution("length", text, one.name)
        if not one.touches_border and not low <= one.volume_ml <= high:
            yield Caution("volume", f"{one.volume_ml:.0f} ml is unusual for a kidney ({one.name}); check it.", one.name)
    if len(kidneys) == 2 and not any(one.touches_border for one in kidneys):
        less, more = sorted(kidneys, key=lambda one: one.volume_ml)
        split, longer = less.split_percent or 0.0, more.size.mm - less.size.mm
        if split < LEAST_SPLIT_PERCENT or abs(longer) > MOST_LONGER_MM:
            text = (
                f"The kidneys differ: the {less.name} has {split:.0f} % of the tissue"
                f" ({less.size.mm:.0f} mm long, the other one {more.size.mm:.0f} mm)."
            )
            yield Caution("asymmetry", text, less.name)
