"""What a segment counts as: kidney, tumor or cyst, by what its terminology says, else by its id."""

from __future__ import annotations

from typing import Any

from wpunet.labels import BY_SIDE, CYST, KIDNEY, LEFT, RIGHT, TUMOR, WITH_CYSTS

KIDNEY_TYPES = ("64033007",)  # SNOMED CT: kidney
CYST_TYPES = ("367643001",)
TUMOR_TYPES = ("4147007", "108369006", "86049000")  # mass, neoplasm, primary neoplasm
VALUES = {one.key: one.value if one.value in (TUMOR, CYST) else KIDNEY for one in (*BY_SIDE, *WITH_CYSTS)}
SIDES = {one.key: one.modifier[1] for one in BY_SIDE if one.modifier}


def value_of(key: str, segment: Any) -> int:
    """A value of labels.WITH_CYSTS, or 0; key: the segment's id.

    The terminology counts first: it is where a person says that a tumor is a cyst, while the id stays. A lesion may be
    another organ's, and a cyst that nobody says to be the kidney's is one only by its id.
    """
    kind, _, region = codes(segment.GetTerminology())
    if kind in KIDNEY_TYPES:
        return KIDNEY
    if kind in CYST_TYPES:
        return CYST if region in KIDNEY_TYPES or (not region and key in VALUES) else 0
    if kind in TUMOR_TYPES:
        return TUMOR if region in KIDNEY_TYPES or not region else 0
    return VALUES.get(key, 0)


def is_said_otherwise(key: str, segment: Any) -> bool:
    """Whether a segment with an id of the engine's is said to be another structure, or another side's kidney."""
    value = value_of(key, segment)
    return value != VALUES[key] or (value == KIDNEY and _side(key, segment) != SIDES.get(key, ""))


def kidney_sides(segmentation: Any) -> dict[str, str]:
    """Segments of kidney by id, with the code of the side that terminology or id tells; empty where neither does."""
    return {key: _side(key, one) for key, one in segments_of(segmentation).items() if value_of(key, one) == KIDNEY}


def _side(key: str, segment: Any) -> str:
    side = codes(segment.GetTerminology())[1]
    return side if side in (RIGHT[1], LEFT[1]) else SIDES.get(key, "")


def uncounted(segmentation: Any) -> list[str]:
    """Ids of the segments that count as nothing."""
    return [key for key, segment in segments_of(segmentation).items() if not value_of(key, segment)]


def terminologies(segmentation: Any) -> dict[str, str]:
    """What each segment is said to be, by id."""
    return {key: segment.GetTerminology() for key, segment in segments_of(segmentation).items()}


def segments_of(segmentation: Any) -> dict[str, Any]:
    """All segments by id."""
    segments = segmentation.GetSegmentation()
    return {key: segments.GetSegment(key) for key in segments.GetSegmentIDs()}


def codes(terminology: str) -> tuple[str, str, str]:
    """The codes of a segment's type, its modifier (the side) and its region, empty where the terminology has none."""
    told = [code.split("^")[1] if code.count("^") == 2 else "" for code in terminology.split("~")]
    kind, modifier, region = (told[at] if at < len(told) else "" for at in (2, 3, 5))
    return kind, modifier, region
