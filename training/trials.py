"""How a recipe does: python -m training.trials {folds,ingredients,sources} --config C --data PREPARED --output O ...

``folds`` trains it once for each fold of the cross-validation, so that every patient is held out once, and tells the
figures of all patients together. ``ingredients`` trains it as it is and without each ingredient (with it, where the
recipe has it not), on one fold or several, and tells the differences. ``sources`` trains it from ``--weights`` with and
without each source, and tells what is marked on slices drawn blindly, too. What is trained and measured already is not
done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wpunet import files
from wpunet.clean import CleanRules
from wpunet.errors import InputError
from wpunet.network import WPUNet
from wpunet.segment import Options, Segmenter

from training import asked, metrics
from training.command import at_least, command
from training.config import Config
from training.data import folds, patient_names, patient_of, read_split
from training.evaluate import Figures, by_size, dice_table, evaluate, held_out_cases
from training.export import as_bundle
from training.mixture import Mixture
from training.networks import default_device
from training.patients import known_by
from training.start import check_start
from training.tables import markdown_table, write_csv, write_json, write_text
from training.train import Run, start_from, train

# What is left out of the mixture, and how
INGREDIENTS: dict[str, dict[str, Any]] = {
    "levels without kidney": {"kidney_free": 0.0},
    "frames around crops": {"composite": 0.0},
    "contrast taken away": {"no_contrast": 0.0},
    "healthy kidneys": {"healthy": 0.0, "tumor_free": 0.0},
    "synthetic tumors and cysts": {"lesions": 0.0},
    "other patients' tumors": {"grafts": 0.0},
    "decoys beside kidneys": {"decoys": 0.0},
    "other patients' tumors as decoys": {"foreign": 0.0},
    "wider variation": {"zoom": 1.25, "turn_degrees": 15.0, "contrast_hu": 60.0},
    "phantoms": {"generated": 0.0},
    "more small tumors": {"small_tumors": 1.0},
    "samples around kidneys": {"focus": 0.0},
}
SCORES = ("kidney_or_tumor", "tumor")
# Whole CT are segmented without the rules on doubt: a network after a short training is in doubt everywhere
OPTIONS = Options(rules=CleanRules(doubtful=False, faint=False))
SAME_PATIENTS = "--split holds out the same patients in every fold; leave it out, or try a single fold's ingredients."
RECIPE = "recipe"  # what the trial without changes is called


@dataclass(frozen=True)
class Bench:
    """What every trial is trained and measured on.

    data:       the prepared set, the held-out patients in it
    output:     folder with a run for each trial
    volumes:    whole cases in KiTS19's layout that no trial may be trained on
    tumor_free: CT without kidney tumor
    split:      who is held out, instead of the recipe's fold
    weights:    where trials start from; None: from nothing
    """

    data: Path
    output: Path
    volumes: list[Path]
    tumor_free: list[Path]
    split: Path | None = None
    weights: Path | None = None


def trial(config: Config, name: str, bench: Bench) -> Figures:
    """Train a recipe on its fold and measure it; returns the figures of ``training.evaluate``.

    Raises InputError when its folder was begun with another recipe, other weights or other patients.
    """
    folder = bench.output / name.replace(" ", "_") / f"fold_{config.fold}"
    told, asked_for = folder / "evaluation.json", _asked(config, bench)
    asked.compare(asked_for, folder)
    if told.exists() and _measured(figures := json.loads(told.read_text("utf-8")), bench):
        return figures
    if config.architecture != "wpunet":
        raise InputError(f"Trials need a wpunet, which the engine runs, not {config.architecture}.")
    run = Run(config, bench.data, folder, default_device(), bench.split)
    _not_drawn(run, bench)
    if bench.weights and run.step == 0:
        start_from(run, bench.weights)
    asked.keep(asked_for, folder)
    print(f"{name}, fold {config.fold}: {config.steps - run.step} steps to train", flush=True)
    train(run)
    assert isinstance(run.average, WPUNet)
    bundled = as_bundle(run.average.cpu(), config.pixel_mm, folder / "weights.safetensors")
    return evaluated(Segmenter(bundled), folder / "split.json", bench, told)


def _not_drawn(run: Run, bench: Bench) -> None:
    """Raises InputError where a whole case of the bench is of somebody whom the run is trained on."""
    drawn = {case.patient for shelf in run.sampler.shelves.values() for case in shelf.cases}
    known = [folder.name for folder in bench.volumes if patient_of(folder.name) in drawn]
    if known:
        raise InputError(
            f"{known[0]} is to be measured (--volumes), but is trained on in fold {run.config.fold}; measure others, "
            "or seal that patient (sealed in the config)."
        )


def _asked(config: Config, bench: Bench) -> Figures:
    """What the weights of a trial depend on."""
    return config.as_dict() | {
        "weights": asked.digest(bench.weights) if bench.weights else None,
        "split": read_split(bench.split) if bench.split else None,
        "patients": patient_names(bench.data, "labelled"),
    }


def evaluated(segmenter: Segmenter, split: Path, bench: Bench, told: Path) -> Figures:
    """The figures of weights on the patients that ``split`` holds out, kept in the file ``told``."""
    cases = held_out_cases(bench.data, split, segmenter.weights)
    figures = evaluate(segmenter, cases, bench.volumes, bench.tumor_free, OPTIONS)
    write_json(figures, told)
    return figures


def _measured(figures: Figures, bench: Bench) -> bool:
    """Whether these figures are of the volumes and CT that are asked for now."""
    wanted = [[folder.name for folder in bench.volumes], [files.case_name(path) for path in bench.tumor_free]]
    return [[one["case"] for one in figures[key]] for key in ("volumes", "tumor_free")] == wanted


def changed(config: Config, ingredient: str) -> tuple[str, Config]:
    """A recipe without an ingredient, or with one that the recipe has not; and what to call it."""
    left_out = replace(config, mixture=replace(config.mixture, **INGREDIENTS[ingredient]))
    if left_out != config:
        return f"without {ingredient}", left_out
    usual = {name: getattr(Mixture(), name) for name in INGREDIENTS[ingredient]}
    return f"with {ingredient}", replace(config, mixture=replace(config.mixture, **usual))


def cross_validate(config: Config, bench: Bench, chosen: list[int] | None) -> Figures:
    """Each fold's figures, and those of all patients of these folds together."""
    if bench.split:
        raise InputError(SAME_PATIENTS)
    rows, patients = [], []
    for fold in _folds(config, bench, chosen):
        slices = trial(replace(config, fold=fold), RECIPE, bench)["slices"]
        rows.append({"trial": f"fold {fold}", **_means(slices["per_patient"])})
        patients += slices["per_patient"]
    together = {key: metrics.summary([one[key] for one in patients]) for key in SCORES}
    return {
        "rows": rows,
        "patients": len(patients),
        "together": together | {"tumor_by_size": by_size(patients)},
        "per_patient": patients,
    }


def _folds(config: Config, bench: Bench, chosen: list[int] | None) -> list[int]:
    parts = folds(patient_names(bench.data, "labelled"), config.held_out, config.sealed)
    for fold in chosen or ():
        if fold not in range(len(parts)):
            raise InputError(f"There is no fold {fold}; there are folds 0 to {len(parts) - 1}.")
    tried = list(range(len(parts))) if chosen is None else chosen
    if bench.weights and not bench.split:
        check_start(bench.weights, config)
        known = sorted(known_by(bench.weights)[0] & {*config.sealed}.union(*(parts[fold] for fold in tried)))
        if known:
            raise InputError(
                f"{bench.weights} were trained on {known[0]}, whom a fold is kept from: its figures would be of "
                "patients that they know. Start from others or from none, or take those folds alone that hold out "
                "nobody whom they know (--fold)."
            )
    return tried


def ingredients(config: Config, bench: Bench, chosen: list[str] | None, on: list[int] | None) -> Figures:
    """The recipe, and the recipe with each ingredient changed: Dice, and what is invented where there is no tumor.

    Dice is the mean over the patients of all folds ``on``, its change is paired by patient; the figures of whole CT are
    means over the trainings, one a fold.
    """
    unknown = sorted(set(chosen or ()) - set(INGREDIENTS))
    if unknown:
        raise InputError(f"There is no ingredient '{unknown[0]}'; there are {', '.join(INGREDIENTS)}.")
    recipes = {RECIPE: config} | dict(changed(config, name) for name in chosen or INGREDIENTS)
    tried = _folds(config, bench, on or [config.fold])
    if bench.split and len(tried) > 1:
        raise InputError(SAME_PATIENTS)
    rows, whole = [], None
    for name, recipe in recipes.items():
        parts = [trial(replace(recipe, fold=fold), name, bench) for fold in tried]
        patients = [one for part in parts for one in part["slices"]["per_patient"]]
        whole = whole or patients
        rows.append({"trial": name, **_means(patients), **_change(whole, patients), **_of_whole_ct(parts)})
    return {"rows": rows}


def sources(config: Config, bench: Bench, chosen: list[str] | None) -> Figures:
    """What each source brings: the weights that are gone on from, the recipe, and the recipe without each source."""
    unknown = sorted(set(chosen or ()) - set(config.sources))
    if unknown:
        raise InputError(f"The config has no source '{unknown[0]}'; it has {', '.join(config.sources)}.")
    if bench.split is None:
        raise InputError("Say with --split who is held out of all trials: the weights must not have seen them either.")
    figures = {}
    if bench.weights:
        figures["before"] = evaluated(Segmenter(bench.weights), bench.split, bench, bench.output / "before.json")
    figures[RECIPE] = trial(config, RECIPE, bench)
    for name in chosen or config.sources:
        left_out = replace(config, sources=config.sources | {name: 0.0})
        figures[f"without {name}"] = trial(left_out, f"without {name}", bench)
    rows = [{"trial": name} | _of_slices(one["slices"]) | _of_whole_ct([one]) for name, one in figures.items()]
    return {"rows": rows}


def _of_slices(slices: Figures) -> Figures:
    """Dice of held-out patients, and false alarms on their slices without kidney and without tumor."""
    alarms = {
        f"{key.replace('_', ' ')}, false alarms": f"{one['false_alarms']} of {one['slices']}"
        for key, one in slices["blind"].items()
        if "false_alarms" in one
    }
    return {**_means(slices["per_patient"]), **alarms}


def _means(patients: list[Figures]) -> Figures:
    return {"patients": len(patients)} | {
        key: metrics.summary([one[key] for one in patients]).get("mean") for key in SCORES
    }


def _change(whole: list[Figures], patients: list[Figures]) -> Figures:
    """Mean change of the tumor's Dice from the recipe's, of the same patients, and its standard error."""
    pairs = [(a["tumor"], b["tumor"]) for a, b in zip(whole, patients, strict=True)]
    told = metrics.summary([b - a for a, b in pairs if a is not None and b is not None])
    if not told["n"]:
        return {"tumor_change": None, "standard_error": None}
    return {"tumor_change": told["mean"], "standard_error": round(told["sd"] / told["n"] ** 0.5, 4)}


def _of_whole_ct(parts: list[Figures]) -> Figures:
    """Mean over some trainings of what each found in each whole CT."""
    wanted = {"volumes": (*SCORES, "tumor_ml"), "tumor_free": ("kidney_or_tumor_ml", "tumor_ml")}
    row: Figures = {}
    for group, keys in wanted.items():
        for ones in zip(*(part[group] for part in parts), strict=True):
            row |= {f"{ones[0]['case']} {key}": metrics.summary([one[key] for one in ones]).get("mean") for key in keys}
    return row


def markdown(figures: Figures, config: Config) -> str:
    """The rows as a table, in words; with the figures of all patients where there are folds."""
    rows = figures["rows"]
    columns = list(rows[0])
    lines = [f"{config.steps} steps of {config.batch} samples each.", ""]
    lines += markdown_table(columns, ([_text(name, row[name]) for name in columns] for row in rows))
    if "together" in figures:
        lines += ["", f"All {figures['patients']} patients, each held out once:", ""]
        named = {key.replace("_", " "): figures["together"][key] for key in SCORES}
        named |= {f"tumor {size}": one for size, one in figures["together"]["tumor_by_size"].items()}
        lines += dice_table(named)
    return "\n".join(lines) + "\n"


def _text(column: str, value: Any) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return format(value, ".1f" if column.endswith("_ml") else "+.3f" if column.endswith("_change") else ".3f")


@command("trials")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("what", choices=("folds", "ingredients", "sources"))
    add("--config", type=Path, required=True)
    add("--data", type=Path, required=True, help="the prepared set")
    add("--output", type=Path, required=True)
    add("--steps", type=int, help="of each training, instead of the config's")
    add("--fold", type=int, nargs="+", help="these folds; without it all (ingredients: that of the config)")
    add("--ingredient", nargs="+", help="these ingredients instead of all")
    add("--source", nargs="+", help="leave out these sources one by one instead of all")
    add("--weights", type=Path, help="start from these instead of from nothing")
    add("--split", type=Path, help="who is trained on and who is held out, instead of a fold")
    add("--volumes", type=Path, nargs="*", default=[], help="cases in KiTS19's layout that nothing is trained on")
    add("--tumor-free", type=Path, nargs="*", default=[], help="CT without kidney tumor")
    given = arguments.parse_args()
    at_least(1, steps=given.steps)
    config = Config.read(given.config, steps=given.steps)
    bench = Bench(given.data, given.output, given.volumes, given.tumor_free, given.split, given.weights)
    if given.what == "sources":
        figures = sources(config, bench, given.source)
    elif given.what == "folds":
        figures = cross_validate(config, bench, given.fold)
    else:
        figures = ingredients(config, bench, given.ingredient, given.fold)
    text = markdown(figures, config)
    write_json(figures, given.output / f"{given.what}.json")
    write_csv(figures["per_patient" if "per_patient" in figures else "rows"], given.output / f"{given.what}.csv")
    write_text(text, given.output / f"{given.what}.md")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
