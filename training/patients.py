"""Who is trained on and who is held out in a run, and that the weights that it starts from have not seen the latter."""

from __future__ import annotations

from pathlib import Path

from wpunet.errors import InputError

from training.config import Config
from training.data import patient_names, read_split, split_patients


def division(config: Config, data: Path, own: Path, given: Path | None) -> tuple[list[str], list[str]]:
    """Patients trained on and held out: by the split that a run has of its ``own``, by a ``given`` file, or drawn.

    Raises InputError when these two files differ, and when the given one trains on a sealed patient.
    """
    if given and own.exists() and read_split(given) != read_split(own):
        raise InputError(f"{own.parent} was begun with another split than {given}; choose another folder.")
    if not given and not own.exists():
        return split_patients(patient_names(data, "labelled"), config.held_out, config.fold, config.sealed)
    training, held_out = read_split(given or own)
    sealed = sorted(set(training) & set(config.sealed)) if given else []
    if sealed:
        raise InputError(
            f"{given} trains on {sealed[0]}, who is sealed; take that patient out of it, or seal others (sealed in the "
            "config; training.train has --sealed, too, alone for nobody)."
        )
    return training, held_out
