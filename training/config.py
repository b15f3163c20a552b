"""The settings of a run, from a TOML file; unknown or missing ones are told by name."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError

from training.data import read_split
from training.losses import LOSSES
from training.mixture import PLAIN, Mixture
from training.networks import ARCHITECTURES, check_size

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _number(value: Any, most: float = math.inf) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most and value < math.inf


def _whole(value: Any, least: int = 0, most: float = math.inf) -> bool:
    return isinstance(value, int) and _number(value, most) and value >= least


def _list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(fits, value))


# In words what a setting must be, whether a value is that, and which settings are meant: all of Config and of Mixture
RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("true or false", lambda v: isinstance(v, bool), "mixed_precision fused augment"),
    ("a whole number from 0 on", _whole, "steps parenchyma workers average seed held_out fold"),
    ("a whole number from 1 on", lambda v: _whole(v, 1), "batch look_every"),
    ("a multiple of 16", lambda v: _whole(v, 16) and v % 16 == 0, "size"),
    ("1 or 2", lambda v: _whole(v, 1, 2), "norms"),
    ("3 or 4", lambda v: _whole(v, 3, 4), "classes"),
    ("a number above 0", lambda v: _number(v) and v > 0, "pixel_mm learning_rate zoom small_tumors"),
    (
        "a number from 0 on",
        _number,
        "weight_decay checkpoint_minutes turn_degrees shift_mm noise_hu stretch bend_mm curve contrast_hu",
    ),
    (
        "a number from 0 to 1",
        lambda v: _number(v, 1),
        "dropout kidney_free generated tumor_free healthy no_contrast composite window focus cysts lesions grafts "
        "foreign decoys",
    ),
    ("a list of five whole numbers above 0", lambda v: _list(v, lambda n: _whole(n, 1)) and len(v) == 5, "widths"),
    ("a list of names", lambda v: _list(v, lambda name: isinstance(name, str)), "sealed"),
    ("a table of numbers from 0 on", lambda v: isinstance(v, dict) and all(map(_number, v.values())), "sources"),
    ("a table", lambda v: isinstance(v, dict), "mixture"),
    (f"one of {', '.join(ARCHITECTURES)}", lambda v: v in list(ARCHITECTURES), "architecture"),
    (f"one of {', '.join(LOSSES)}", lambda v: v in list(LOSSES), "loss"),
    ("adam or adamw", lambda v: v in ("adam", "adamw"), "optimizer"),
    ("constant or cosine", lambda v: v in ("constant", "cosine"), "schedule"),
)
RULE_OF = {name: (what, fits) for what, fits, names in RULES for name in names.split()}


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
            why = error.strerror if isinstance(error, OSError) else error
            raise InputError(
                f"The config {path} cannot be read ({why}); give one of training/configs, or a copy of one."
            ) from error
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
        _check(values, cls, path)
        mixture = values.get("mixture", {})
        _check(mixture, Mixture, path)
        missing = {"widths", "steps"} - set(values)
        if missing:
            raise InputError(f"{path} says nothing of {', '.join(sorted(missing))}.")
        tuples: dict[str, Any] = {key: tuple(values[key]) for key in ("widths", "sealed") if key in values}
        config = cls(**(values | tuples | {"mixture": Mixture(**mixture)}))
        if config.parenchyma and config.architecture != "wpunet":
            raise InputError(f"{path}: parenchyma is for the architecture wpunet alone.")
        check_size(config.architecture, config.size, path)
        m = config.mixture
        if m.kidney_free + m.generated + m.tumor_free > 1 + 1e-9:
            raise InputError(
                f"{path}: kidney_free, generated and tumor_free are shares of all samples, and more than 1."
            )
        return config


def _check(values: dict[str, Any], kind: type, path: str) -> None:
    """Raises InputError where ``values`` holds what is no setting of ``kind``, or is not what that must be."""
    known = sorted(one.name for one in fields(kind))
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{path} has the unknown setting {name}; known are {', '.join(known)}.")
        what, fits = RULE_OF[name]
        if not fits(value):
            raise InputError(f"{path}: {name} is {value!r}; it must be {what}.")
