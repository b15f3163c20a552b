"""The settings of a run, from a TOML file; unknown or missing ones are told by name."""

from __future__ import annotations

import json
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
        known = {one.name for one in fields(cls)}
        mixture = values.get("mixture", {})
        unknown = sorted(set(values) - known) + sorted(set(mixture) - {one.name for one in fields(Mixture)})
        if unknown:
            raise InputError(f"{path} has the unknown setting {unknown[0]}; known are {', '.join(sorted(known))}.")
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
        if not isinstance(config.parenchyma, int) or config.parenchyma < 0:
            raise InputError(f"{path}: parenchyma is {config.parenchyma!r}; it must be a number of channels, or 0.")
        if config.parenchyma and config.architecture != "wpunet":
            raise InputError(f"{path}: parenchyma is for the architecture wpunet alone.")
        if config.size % 16:
            raise InputError(f"{path}: size is {config.size}; it must be a multiple of 16.")
        return config
