"""The chance that a marked tumor is one: python -m training.chance --output FOLDER [--data PREPARED] [--card CARD] ...

What the network marks as tumor on patients that it has not seen is a tumor or is not. A logistic model of three
numbers (wpunet.certainty.features) tells with what chance, and goes into the card of the weights. Reliability is told
of patients that the model was not fitted on either: each fifth of the patients is told by a model of the others.

Patients as in training.evaluate: single slices held out, whole CT with truth, CT without kidney tumor. Writes
``chance.json``, ``chance.md`` and ``reliability.png``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from wpunet import check, files, locate
from wpunet.bundle import Weights
from wpunet.certainty import FEATURES, Chance, features
from wpunet.clean import CleanRules, clean
from wpunet.errors import InputError
from wpunet.labels import TUMOR
from wpunet.measure import Body, parts
from wpunet.monitor import Monitor
from wpunet.predict import CORE_MM2, Maps, decide, predict
from wpunet.runtime import Runtime
from wpunet.segment import Segmenter
from wpunet.sides import split_sides
from wpunet.volume import AXES_RAS, Volume, from_array

from training.command import command
from training.data import Case
from training.evaluate import arguments_of, held_out_cases, require_some, shown
from training.tables import markdown_table, write_json, write_text
from training.truth import pair, read_pair

TRUE_SHARE = 0.1  # of a marked body; one with as much of a true tumor is a tumor
APART_MM = 100.0  # between single slices, so that each stays alone
FOLDS = 5
RIDGE = 1.0  # keeps the weights finite where tumors and others are apart


@dataclass(frozen=True)
class Candidate:
    """A marked tumor: of whom, what the network said of it (wpunet.certainty.features), and whether it is one."""

    patient: str
    features: np.ndarray
    is_tumor: bool


def of_slices(case: Case, network: Runtime, weights: Weights) -> Iterator[Candidate]:
    """The tumors marked on the single slices of a patient, straight from the network."""
    affine = np.eye(4)
    affine[:3, :3] = AXES_RAS.T * (APART_MM, case.pixel_mm, case.pixel_mm)
    volume = from_array(case.hu, affine)
    monitor = Monitor()
    maps = predict(volume, locate.whole(volume), network, weights.pixel_mm, weights.temperature, True, monitor)
    labels, _ = decide(maps, volume.hu.shape, monitor)
    for k, one in enumerate(labels):
        alone = np.zeros_like(labels)
        alone[k] = one
        for body in _tumors(alone, volume.affine):
            if body.voxels * case.pixel_mm**2 >= CORE_MM2:
                yield _candidate(case.patient, maps, body, case.labels)


def of_volume(name: str, volume: Volume, truth: np.ndarray | None, segmenter: Segmenter) -> Iterator[Candidate]:
    """The tumors that the engine leaves in a whole CT; truth: labels on the volume's grid, None where there is none."""
    weights, monitor = segmenter.weights, Monitor()
    volume, _ = check.check(volume)
    region = locate.locate(volume, segmenter.runtime, weights.pixel_mm, monitor)
    maps = predict(volume, region, segmenter.runtime, weights.pixel_mm, weights.temperature, True, monitor)
    labels, doubt = decide(maps, volume.hu.shape, monitor)
    labels, _ = split_sides(clean(labels, volume.spacing, CleanRules(), volume.hu, doubt).labels, volume.hu)
    for body in _tumors(labels, volume.affine):
        yield _candidate(name, maps, body, truth)


def _tumors(labels: np.ndarray, affine: np.ndarray) -> list[Body]:
    return [body for body in parts(labels, affine) if body.kind == "tumor"]


def _candidate(patient: str, maps: Maps, body: Body, truth: np.ndarray | None) -> Candidate:
    true = 0 if truth is None else np.count_nonzero(truth[body.box][body.mask] == TUMOR)
    return Candidate(patient, features(maps, body), bool(true >= TRUE_SHARE * body.voxels))


def fit(candidates: list[Candidate]) -> Chance:
    """The model of highest likelihood, the weights of its standardised features held small.

    Each patient counts alike, however many slices there are of one. Raises InputError where all are tumors or none is.
    """
    x, y, share = _arrays(candidates)
    if not 0 < y.sum() < len(y):
        raise InputError("The chance needs marked tumors that are ones and others that are not; give more patients.")
    mean, sd = x.mean(0), np.maximum(x.std(0), 1e-6)
    z = (x - mean) / sd

    def loss(theta: np.ndarray) -> float:
        logit = theta[0] + z @ theta[1:]
        return float((share * np.logaddexp(0.0, np.where(y, -logit, logit))).sum() + RIDGE * (theta[1:] ** 2).sum() / 2)

    theta = minimize(loss, np.zeros(1 + x.shape[1])).x
    slopes = theta[1:] / sd
    return Chance(float(theta[0] - slopes @ mean), tuple(float(slope) for slope in slopes))


def _arrays(candidates: list[Candidate]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 3), whether each is a tumor (n,), and its share of its patient (n,)."""
    names = [one.patient for one in candidates]
    share = np.array([1.0 / names.count(name) for name in names])
    return np.array([one.features for one in candidates]), np.array([one.is_tumor for one in candidates]), share


def told_by_others(candidates: list[Candidate], folds: int = FOLDS) -> np.ndarray:
    """The chance of each candidate by a model of other patients, (n,); not a number where those allow none."""
    patients = np.random.default_rng(7).permutation(sorted({one.patient for one in candidates}))
    told = np.full(len(candidates), np.nan)
    for part in np.array_split(patients, min(folds, len(patients))):
        within = np.isin([one.patient for one in candidates], part)
        others = [one for one, held in zip(candidates, within, strict=True) if not held]
        if 0 < sum(one.is_tumor for one in others) < len(others):
            told[within] = fit(others)(np.array([one.features for one in candidates])[within])
    return told


def reliability(told: np.ndarray, is_tumor: np.ndarray, bands: int = 5) -> dict[str, Any]:
    """How often each band of chance is right, the expected calibration error and the Brier score."""
    known = np.isfinite(told)
    told, is_tumor = told[known], is_tumor[known].astype(float)
    band = np.minimum((told * bands).astype(int), bands - 1)
    rows = [
        {
            "from": k / bands,
            "to": (k + 1) / bands,
            "marked": int((band == k).sum()),
            "chance": float(told[band == k].mean()),
            "tumors": float(is_tumor[band == k].mean()),
        }
        for k in range(bands)
        if (band == k).any()
    ]
    error = sum(row["marked"] * abs(row["chance"] - row["tumors"]) for row in rows) / max(1, len(told))
    return {
        "bands": rows,
        "error": float(error),
        "brier": float(((told - is_tumor) ** 2).mean()) if len(told) else None,
    }


def draw(found: dict[str, Any], told: np.ndarray, is_tumor: np.ndarray, picture: Path) -> None:
    """The reliability diagram: each band with its 95 % interval (Wilson), and how many of each kind there are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    above.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for row in found["bands"]:
        low, high = wilson(row["tumors"], row["marked"])
        above.plot([row["chance"]] * 2, [low, high], color="tab:blue", linewidth=1.5)
        above.plot(row["chance"], row["tumors"], "o", color="tab:blue")
        above.annotate(f" {row['marked']}", (row["chance"], row["tumors"]), fontsize=8)
    above.set(ylabel="share that are tumors", xlim=(0, 1), ylim=(0, 1))
    above.set_title(
        f"{int(is_tumor.sum())} tumors, {int((~is_tumor).sum())} others; error {found['error']:.3f}", fontsize=10
    )
    edges = np.linspace(0, 1, 21)
    below.hist([told[is_tumor], told[~is_tumor]], edges, stacked=True, label=("tumors", "others"))
    below.set(xlabel="chance told", ylabel="marked")
    below.legend(fontsize=8)
    for axis in (above, below):
        axis.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted: Wilson, J Am Stat Assoc 1927;22:209."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = 1.96 * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return float(middle - half), float(middle + half)


def summary(candidates: list[Candidate], looked_at: list[str], weights: Weights) -> dict[str, Any]:
    """The model as it goes into a card, and how reliable it is."""
    chance, told = fit(candidates), told_by_others(candidates)
    if not np.isfinite(told).any():
        raise InputError("No chance can be told by a model of other patients, so few they are; give more of them.")
    is_tumor = np.array([one.is_tumor for one in candidates])
    marked = {one.patient for one in candidates if one.is_tumor}
    return {
        "features": list(FEATURES),
        "offset": chance.offset,
        "weights": list(chance.weights),
        "weights_sha256": weights.sha256,
        "patients": len(looked_at),
        "patients_without_marked_tumor": len(set(looked_at) - {one.patient for one in candidates}),
        "patients_with_true_tumor_marked": len(marked),
        "tumors": int(is_tumor.sum()),
        "others": int((~is_tumor).sum()),
        "reliability": reliability(told, is_tumor),
    }


def markdown(found: dict[str, Any]) -> str:
    """A paragraph and a table for a model card."""
    told = found["reliability"]
    rows = (
        [f"{row['from']:.0%} to {row['to']:.0%}", str(row["marked"]), f"{row['chance']:.2f}", f"{row['tumors']:.2f}"]
        for row in told["bands"]
    )
    lines = [
        f"The chance of a marked tumor, on {found['patients']} patients that the network has not seen"
        f" ({found['tumors']} marked bodies that are tumors, {found['others']} that are not;"
        f" {found['patients_without_marked_tumor']} patients without any), each told by a model of other patients:"
        f" expected calibration error {told['error']:.3f}, Brier score {told['brier']:.3f}.",
        "",
        *markdown_table(("chance", "marked", "mean chance", "share that are tumors"), rows),
    ]
    return "\n".join(lines) + "\n"


def write(found: dict[str, Any], candidates: list[Candidate], folder: Path) -> None:
    """JSON, Markdown and the diagram."""
    write_json(found, folder / "chance.json")
    write_text(markdown(found), folder / "chance.md")
    told, is_tumor = told_by_others(candidates), np.array([one.is_tumor for one in candidates])
    known = np.isfinite(told)
    draw(found["reliability"], told[known], is_tumor[known], folder / "reliability.png")


def card_of(sha256: str, card: Path) -> dict[str, Any]:
    """The card of the weights with this hash; raises InputError where there is none or it is of other weights."""
    try:
        values = json.loads(card.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The card {card} cannot be read ({error}); give NAME.json beside the weights.") from error
    if values.get("sha256") != sha256:
        raise InputError(f"The card {card} is of other weights; give NAME.json beside those that are looked at.")
    return values


def into_card(found: dict[str, Any], card: Path) -> None:
    """Put the model into the card of weights; raises InputError as ``card_of`` does."""
    values = card_of(found["weights_sha256"], card)
    write_json(values | {"tumor_chance": {key: found[key] for key in ("features", "offset", "weights")}}, card)


def collect(
    segmenter: Segmenter, cases: list[Case], volumes: list[Path], tumor_free: list[Path]
) -> tuple[list[Candidate], list[str]]:
    """What is marked as tumor, and the names of all patients that were looked at."""
    found: list[Candidate] = []
    names = [case.patient for case in cases]
    for case in shown(cases):
        found += of_slices(case, segmenter.runtime, segmenter.weights)
    for folder in shown(volumes):
        volume, truth = read_pair(*pair(folder))
        names.append(folder.name)
        found += of_volume(folder.name, volume, truth, segmenter)
    for path in shown(tumor_free):
        names.append(files.case_name(path))
        found += of_volume(names[-1], files.read(path), None, segmenter)
    return found, sorted(set(names))


@command("chance")
def main() -> int:
    arguments = arguments_of(__doc__)
    arguments.add_argument("--card", type=Path, help="card (NAME.json beside the weights) that the model is put into")
    given = arguments.parse_args()
    require_some(given)
    segmenter = Segmenter(given.weights)
    if given.card:
        card_of(segmenter.weights.sha256, given.card)  # before the work
    cases = held_out_cases(given.data, given.split, segmenter.weights) if given.data else []
    candidates, looked_at = collect(segmenter, cases, given.volumes, given.tumor_free)
    found = summary(candidates, looked_at, segmenter.weights)
    given.output.mkdir(parents=True, exist_ok=True)
    write(found, candidates, given.output)
    if given.card:
        into_card(found, given.card)
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
