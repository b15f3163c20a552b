"""Who is trained on and who is held out in a run, and that the weights that it starts from have not seen the latter."""

from __future__ import annotations

import sys
from pathlib import Path

from wpunet.errors import InputError

from training import checkpoint, distributed
from training.config import Config
from training.data import HOW_TO_SEAL, everybody, patient_names, read_split, split_patients
from training.past import card_of, lies_in_run


def division(config: Config, data: Path, own: Path, given: Path | None) -> tuple[list[str], list[str]]:
    """Patients trained on and held out: by the split that a run has of its ``own``, by a ``given`` file, or drawn.

    Raises InputError when these two files differ, and when the given one trains on a sealed patient.
    """
    if given and own.exists() and read_split(given) != read_split(own):
        raise InputError(f"{own.parent} was begun with another split than {given}; choose another folder.")
    there = patient_names(data, "labelled")
    if not given and not own.exists():
        return split_patients(there, config.held_out, config.fold, config.sealed)
    training, held_out = read_split(given or own)
    if not training:
        raise InputError(f"The split {given or own} trains on nobody; name somebody under training.")
    sealed = sorted(set(training) & set(config.sealed)) if given else []
    if sealed:
        raise InputError(
            f"{given} trains on {sealed[0]}, who is sealed; take that patient out of it, or seal others "
            f"({HOW_TO_SEAL})."
        )
    neither = sorted({*there} - {*training, *held_out, *config.sealed})
    if neither and distributed.rank() == 0:
        print(
            f"{len(neither)} patients of {data}, the first {neither[0]}, are in no part of the split {given or own}: "
            "they are neither trained on nor held out. A run keeps the split that it was begun with; for new cases "
            "choose another folder.",
            file=sys.stderr,
            flush=True,
        )
    return training, held_out


def sealed_line(config: Config, data: Path, divided: list[str]) -> str:
    """A line on whom the seal alone keeps from being ``divided`` into trained on and held out; empty for nobody."""
    names = sorted(everybody(data) & {*config.sealed} - {*divided})
    return f"Left out as sealed: {', '.join(names)} ({HOW_TO_SEAL}).\n" if names else ""


def require_known(names: list[str], data: Path) -> None:
    """Raise InputError where a name that was typed is no patient's: it would keep nobody away."""
    strange = sorted({*names} - everybody(data))
    if strange:
        raise InputError(f"{data} has no patient {strange[0]} to keep away from (--sealed); see its prepared.json.")


def not_known_to(weights: Path, away: set[str]) -> None:
    """Raise InputError when ``weights`` were trained on one of the patients ``away``; warn where nobody says.

    A bundle's card names whom they have not seen, and not whom they have.
    """
    known, unseen = known_by(weights)
    both = sorted(known & away)
    if both:
        raise InputError(
            f"{weights} were trained on {both[0]}, whom this run is kept from: its figures would be of patients "
            "that it knows. Start from others, or hold out whom that run did (--split)."
        )
    if unseen is not None and away - unseen and distributed.rank() == 0:
        print(
            f"Nobody says whether {weights} were trained on patients that are held out here; figures may flatter.",
            file=sys.stderr,
            flush=True,
        )


def known_by(weights: Path) -> tuple[set[str], set[str] | None]:
    """Whom weights were trained on; where it may have been others, too, the second is who these surely are not.

    A run tells it of the weights that it began with, too; its own patients are also in its split beside it.
    """
    facts, split = checkpoint.facts(weights), weights.with_name("split.json")
    own = read_split(split)[0] if lies_in_run(weights) and split.exists() else ()
    known = {*facts.get("knows", ()), *own}
    unseen = facts.get("unseen") if known else card_of(weights).get("held_out_patients") or ()
    return known, None if unseen is None else {*unseen} - known


def told_by(known: set[str], unseen: set[str] | None) -> dict[str, list[str] | None]:
    """The same as facts beside weights."""
    return {"knows": sorted(known), "unseen": None if unseen is None else sorted(unseen - known)}
