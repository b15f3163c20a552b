"""The settings of a run, from a TOML file; unknown or missing ones are told by name."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError

from training.data import read_split
from training.losses import LOSSES
from training.mixture import PLAIN, Mixture
from training.networks import ARCHITECTURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


SHARES = ("kidney_free", "generated", "tumor_free", "healthy", "no_contrast", "composite", "window", "focus", "cysts")
LIMITS: dict[str, tuple[float, float]] = dict.fromkeys((*SHARES, "lesions", "grafts", "foreign", "decoys"), (0, 1))
LIMITS |= {"dropout": (0, 1), "norms": (1, 2), "classes": (3, 4)}
LIMITS |= {"batch": (1, math.inf), "look_every": (1, math.inf), "size": (16, math.inf)}
FIVE = "a list of five whole numbers above 0"
ABOVE_0 = ("pixel_mm", "learning_rate", "zoom", "small_tumors")


@dataclass(frozen=True)
class Config:
    """A recipe.

    architecture:  "wpunet", or "unet", "basic_unet", "nnunet_2d" to compare with
    widths, norms, classes: of the network (see NetworkSpec); the fourth class is the cyst
    parenchyma:    channels of its part that tells parenchyma (see NetworkSpec), which training.parenchyma trains
    pixel_mm, size: of the network's input; 1.6 and 256 are a whole slice at the paper's 256x256
    loss:          "paper" or "dice_ce"; training.parenchyma has its own
    optimizer:     "adam" or "adamw"; schedule: "constant" or "cosine"
    batch:         over all processes; steps: of the optimizer
    mixed_precision: bfloat16 where it serves, float32 elsewhere; float32 alone where False, and on a processor or GPU
                   that does not compute in bfloat16; a run is gone on with as it was begun
    fused:         on a processor with AMX train WP-UNet on kernels of ours where they can (training/fused); a run is
                   gone on with as it was begun; False: PyTorch alone
    workers:       processes that draw samples ahead, to keep a GPU busy; 0: the training draws them itself
    average:       weights that ship are a moving average over about this many steps; 0: the last weights
    held_out, fold, sealed: who is not trained on; held_out 0: nobody but the sealed
    look_every:    steps between looks at the held-out slices
    augment:       True: ``mixture``; False: slices as they are
    sources:       how often each source is drawn within its group, in shares (0: left out); {}: as it has cases
    """

    widths: tuple[int, ...]
    steps: int
    architecture: str = "wpunet"
    norms: int = 2
    classes: int = 3
    parenchyma: int = 0
    dropout: float = 0.1
    pixel_mm: float = 1.6
    size: int = 160
    loss: str = "dice_ce"
    optimizer: str = "adamw"
    schedule: str = "cosine"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    batch: int = 8
    mixed_precision: bool = True
    fused: bool = True
    workers: int = 0
    average: int = 1000
    seed: int = 1
    held_out: int = 30
    fold: int = 0
    sealed: tuple[str, ...] = ("case_00000", "case_00166")
    look_every: int = 500
    checkpoint_minutes: float = 3.0
    augment: bool = True
    mixture: Mixture = field(default_factory=Mixture)
    sources: dict[str, float] = field(default_factory=dict)

    @property
    def spec(self) -> NetworkSpec:
        return NetworkSpec(self.widths, norms=self.norms, classes=self.classes, parenchyma=self.parenchyma)

    @property
    def drawn(self) -> Mixture:
        """What the sampler is to draw."""
        return self.mixture if self.augment else PLAIN

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, path: Path, **changes: Any) -> Config:
        """Read a TOML file; ``changes`` that are not None take the place of its values. Raises InputError."""
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"The config {path} cannot be read ({error}).") from error
        return cls.of(values | {key: value for key, value in changes.items() if value is not None}, str(path))

    @classmethod
    def of_run(cls, run: Path) -> Config:
        """The recipe that a run keeps beside its weights; raises InputError."""
        try:
            return cls.of(json.loads((run / "config.json").read_text("utf-8")), str(run / "config.json"))
        except (OSError, ValueError) as error:
            raise InputError(f"{run} holds no training run ({error}).") from error

    def kept_from_whom(self, run: Path) -> Config:
        """This recipe, which keeps away from the sealed ones of ``run``, too, to go on from it. Raises InputError.

        Whom the run was trained on is sealed no more: its split holds, in all sources alike.
        """
        training, _ = read_split(run / "split.json")
        return replace(self, sealed=tuple(sorted({*self.sealed, *Config.of_run(run).sealed} - set(training))))

    @classmethod
    def of(cls, values: dict[str, Any], path: str) -> Config:
        """Check the values of a config; ``path`` is for the message."""
        mixture = values.get("mixture", {})
        _check_tables(values, path)
        for kind, given in ((cls, values), (Mixture, mixture)):
            known = sorted(one.name for one in fields(kind))
            unknown = sorted(set(given) - set(known))
            if unknown:
                raise InputError(f"{path} has the unknown setting {unknown[0]}; known are {', '.join(known)}.")
        missing = {"widths", "steps"} - set(values)
        if missing:
            raise InputError(f"{path} says nothing of {', '.join(sorted(missing))}.")
        choices: dict[str, Any] = {"loss": LOSSES, "optimizer": ("adam", "adamw"), "schedule": ("constant", "cosine")}
        choices["architecture"] = ARCHITECTURES
        for key, allowed in choices.items():
            if values.get(key, next(iter(allowed))) not in allowed:
                raise InputError(f"{path}: {key} is '{values[key]}'; it can be {', '.join(allowed)}.")
        tuples: dict[str, Any] = {key: tuple(values[key]) for key in ("widths", "sealed") if key in values}
        config = cls(**(values | tuples | {"mixture": Mixture(**mixture)}))
        _check_values(config, path)
        if config.parenchyma and config.architecture != "wpunet":
            raise InputError(f"{path}: parenchyma is for the architecture wpunet alone.")
        if config.size % 16:
            raise InputError(f"{path}: size is {config.size}; it must be a multiple of 16.")
        return config


def _check_tables(values: dict[str, Any], path: str) -> None:
    """Raises InputError where a list or a table of settings is none, or holds what it cannot."""
    kinds: dict[str, tuple[Any, Any, str]] = {
        "widths": (list, int, FIVE),
        "sealed": (list, str, "a list of names"),
        "sources": (dict, int | float, "a table of shares, numbers from 0 on"),
        "mixture": (dict, int | float, "a table of numbers"),
    }
    for name, (kind, of, what) in kinds.items():
        value = values.get(name, kind())
        inside = value.values() if isinstance(value, dict) else value
        fits = isinstance(value, kind | tuple) and all(isinstance(one, of) for one in inside)
        if not fits or (name == "sources" and min(inside, default=0) < 0):
            raise InputError(f"{path}: {name} is {value!r}; it must be {what}.")
    widths = values.get("widths", [1] * 5)
    if len(widths) != 5 or min(widths) < 1:
        raise InputError(f"{path}: widths is {widths!r}; it must be {FIVE}.")


def _check_values(config: Config, path: str) -> None:
    """Raises InputError where a setting is of another kind than its default, or a number that it cannot be."""
    for settings, usual in ((config, Config((1,) * 5, 1)), (config.mixture, Mixture())):
        for one in fields(settings):
            value, like = getattr(settings, one.name), getattr(usual, one.name)
            what = _what_it_must_be(one.name, value, like)
            if what:
                raise InputError(f"{path}: {one.name} is {value!r}; it must be {what}.")
    m = config.mixture
    if m.kidney_free + m.generated + m.tumor_free > 1 + 1e-9:
        raise InputError(f"{path}: kidney_free, generated and tumor_free are shares of all samples, and more than 1.")


def _what_it_must_be(name: str, value: Any, like: Any) -> str:
    """In words, where ``value`` is not that; ``like``: another value of this setting."""
    if isinstance(like, bool):
        return "" if isinstance(value, bool) else "true or false"
    if not isinstance(like, int | float):
        return ""
    whole, (least, most) = isinstance(like, int), LIMITS.get(name, (0, math.inf))
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if fits and least <= value <= most and value < math.inf and (value or name not in ABOVE_0):
        return ""
    limits = f"from {least} to {most}" if most < math.inf else "above 0" if name in ABOVE_0 else f"from {least} on"
    return f"a {'whole ' * whole}number {limits}"
