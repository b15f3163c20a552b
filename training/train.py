"""Train on the prepared set: python -m training.train --config CONFIG.toml --data PREPARED --run RUN

Stop it at any time; the same command goes on where it stopped and ends with the same weights. On several GPUs or
machines: torchrun --nproc-per-node N -m -- training.train ... with the same arguments.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from wpunet.errors import InputError, WpunetError
from wpunet.labels import TUMOR

from training import asked, checkpoint, distributed, fused
from training.augment import Sampler
from training.command import at_least, command
from training.config import Config
from training.data import GROUPS, Case, levels_of_whole_ct, patient_names, read_prepared, write_split
from training.feed import Feed
from training.log import Log
from training.losses import CYST_CLASS, LOSSES
from training.metrics import dice
from training.mixture import PLAIN, Mixture
from training.networks import ARCHITECTURES, AVERAGE, channels_last, computes_in_bfloat16, default_device
from training.past import begun_with, steps_of
from training.patients import division, known_by, not_known_to, require_known, sealed_line, told_by
from training.start import check_start, fill_from
from training.tables import write_json

# For life
FIXED = ("architecture", "widths", "norms", "classes", "parenchyma", "pixel_mm", "seed", "held_out", "fold", "sealed")
CHECKPOINT = "checkpoint.safetensors"
MOST_THREADS = 2  # with which PyTorch is slower than the fused kernels are with one: these are 2.4 times as fast


class TrainingError(WpunetError):
    """Training cannot go on; the message says what is left."""


class Run:
    """A training run in a folder: networks, optimizer, samples, and where it stands."""

    def __init__(
        self, config: Config, data: Path, folder: Path, device: torch.device, split: Path | None = None
    ) -> None:
        self.config, self.folder, self.device = config, folder, device
        self.training, self.held_out = division(config, data, folder / "split.json", split)
        self._check_config()
        # the usual sealed ones may not be of this set at all
        self.kept_from = {*self.held_out, *(set(config.sealed) & set(patient_names(data, "labelled")))}
        self.left_out = sealed_line(config, data, [*self.training, *self.held_out])
        torch.manual_seed(config.seed)
        architecture = ARCHITECTURES[config.architecture]
        self.network: nn.Module = architecture(config.spec, config.dropout).to(device)
        channels_last(self.network)
        if self.config.fused:
            fused.fuse(self.network)
        self.average: nn.Module = architecture(config.spec).to(device)
        self.average.load_state_dict(self.network.state_dict())
        optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
        learn = self.learning()
        self.optimizer = optimizer(learn.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        cases = {"labelled": read_prepared(data, "labelled", self.training)}
        if config.augment:
            away = {*self.held_out, *config.sealed}
            others = {group: read_prepared(data, group) for group in GROUPS if group != "labelled"}
            cases |= {group: [one for one in there if one.patient not in away] for group, there in others.items()}
            cases = {group: [one for one in there if self.drawn(one)] for group, there in cases.items()}
            if not (cases["labelled"] or config.parenchyma):
                raise InputError("[sources] in the config gives no share to any labelled case; draw from one at least.")
            for case in levels_of_whole_ct([*cases["labelled"], *cases["tumor_free"]]):
                cases[case.group].append(case)
        self.sampler = self._sampler(cases, config.drawn, config.seed)
        self.seen = self.held_out_cases(data)
        self.step = 0
        # of the weights it began with, as far as they tell: the steps and the patients they were trained for and on
        self.before = 0
        self.bundle: str | None = None  # whose patients nobody tells by name
        self.known: tuple[set[str], set[str] | None] = (set(), None)
        if self.checkpoint.exists():
            self._resume()
        distributed.share_statistics(self.network)
        share = config.batch // distributed.world()
        first = share * distributed.rank()
        self.feed = Feed(self.sampler, first, first + share, config.workers, device)
        self.parallel = DistributedDataParallel(self.network) if distributed.world() > 1 else self.network

    def learning(self) -> nn.Module:
        """What of the network learns; raises InputError where another command is to teach it."""
        if self.config.parenchyma:
            raise InputError("A config with parenchyma above 0 is for python -m training.parenchyma.")
        return self.network

    def held_out_cases(self, data: Path) -> list[Case]:
        """What the averaged weights are looked at with."""
        return read_prepared(data, "labelled", self.held_out)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Of a batch, (n, 1, h, w) and (n, h, w)."""
        self.network.train()
        with self.mixed_precision():
            logits = self.parallel(x)
        return LOSSES[self.config.loss](logits.float(), labels)

    def answer(self, x: Tensor) -> Tensor:
        """Logits (n, classes, h, w) of the averaged weights."""
        with self.mixed_precision():
            return self.average(x)

    def drawn(self, case: Case) -> bool:
        """Whether the recipe has any use for a case: one of a source whose share is 0 gives no frame and no tumor."""
        return self.config.sources.get(case.source, 1.0) > 0

    def _sampler(self, cases: dict[str, list[Case]], mixture: Mixture, seed: int) -> Sampler:
        c = self.config
        cysts, shares = c.classes > CYST_CLASS, c.sources if c.augment and mixture is not PLAIN else {}
        device = "cpu" if c.workers else self.device  # workers draw on the processor
        return Sampler(cases, mixture, c.pixel_mm, c.size, seed, device, cysts=cysts, sources=shares)

    def begin(self) -> None:
        """Keep recipe and patients beside the weights: from its first step on, unless refused, a run has them."""
        write_json(self.config.as_dict(), self.folder / "config.json")
        write_split(self.folder / "split.json", self.training, self.held_out)

    def _check_config(self) -> None:
        """Raises InputError when the folder was begun with a recipe that cannot go on as this one."""
        path, now = self.folder / "config.json", json.loads(json.dumps(self.config.as_dict()))
        try:
            begun = json.loads(path.read_text("utf-8")) if path.exists() else None
        except ValueError as error:
            raise InputError(f"{path} cannot be read ({error}); choose another folder.") from error
        if begun is not None:
            begun = {"parenchyma": 0} | begun  # which runs of before there was such a part do not tell
            changed = [name for name in FIXED if begun.get(name) != now[name]]
            if changed:
                raise InputError(
                    f"{self.folder} was begun with {changed[0]} = {begun.get(changed[0])}, not {now[changed[0]]}; "
                    "choose another folder."
                )
        kernels, mixed = self._fused(begun), self._mixed(begun)
        self.config = replace(self.config, fused=kernels, mixed_precision=mixed)

    def _mixed(self, begun: dict[str, Any] | None) -> bool:
        """Whether this run computes in bfloat16: as it was begun; a new one, where the device does so by itself."""
        if not self.config.mixed_precision:
            self.precision = "in float32"
            return False
        if begun is not None:
            mixed = begun.get("mixed_precision", True)
            self.precision = f"in {'bfloat16' if mixed else 'float32'}, as it was begun"
            return mixed
        mixed = computes_in_bfloat16(self.device)
        self.precision = "in bfloat16" if mixed else "in float32, since bfloat16 is slower here"
        return mixed

    def _fused(self, begun: dict[str, Any] | None) -> bool:
        """Whether this run computes on fused kernels: as it was begun, since other roundings make other weights.

        Raises InputError when it was begun with them and they cannot be used here.
        """
        before = None if begun is None else begun.get("fused", False)
        why = None if before is False else self._why_not_fused()
        if before and why:
            raise InputError(
                f"{self.folder} was begun with fused kernels, which are not used now: {why}. Go on with them where "
                "it was begun, or start from its average.safetensors (--weights) in another folder."
            )
        if before is False:
            why = "this run was begun without"
        elif before is None and not why and torch.get_num_threads() > MOST_THREADS:
            why = f"they use one thread and PyTorch {torch.get_num_threads()} here (OMP_NUM_THREADS=1 lets them)"
        self.kernels = f"without fused kernels: {why}" if why else "with fused kernels, on one thread"
        return not why

    def _why_not_fused(self) -> str | None:
        c = self.config
        if not c.fused:
            return "the config says fused = false"
        if c.architecture != "wpunet" or self.device.type != "cpu" or not c.mixed_precision:
            return "they are for WP-UNet in mixed precision on a CPU"
        if distributed.world() > 1:
            return "several processes share the statistics of their batches"
        return fused.why_not(c.spec, c.batch, c.size, c.size)

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def save(self) -> None:
        """The checkpoint, and beside it the averaged weights alone; raises TrainingError when there is no room."""
        if distributed.rank():
            return
        networks = {"network": self.network, "average": self.average}
        tensors = {f"{key}.{name}": t for key, net in networks.items() for name, t in net.state_dict().items()}
        tensors |= checkpoint.optimizer_tensors(self.optimizer)
        spec = self.config.spec.as_dict()
        about = {"spec": spec, "pixel_mm": self.config.pixel_mm, "step": self.step, "begun_with": self.bundle}
        about |= {"architecture": self.config.architecture, "steps_in_all": self.before + self.step}
        about |= told_by({*self.known[0], *self.training}, self.known[1])
        try:
            checkpoint.save(self.checkpoint, tensors, about)
            checkpoint.save(self.folder / AVERAGE, dict(self.average.state_dict()), about)
        except OSError as error:
            raise TrainingError(
                f"The checkpoint of step {self.step} cannot be written ({error}); the one before it is whole. "
                "Make room and start the same command again."
            ) from error

    def _resume(self) -> None:
        try:
            tensors, facts = checkpoint.load(self.checkpoint)
            for key, network in (("network.", self.network), ("average.", self.average)):
                network.load_state_dict({k.removeprefix(key): v for k, v in tensors.items() if k.startswith(key)})
        except (RuntimeError, ValueError, OSError, checkpoint.SafetensorError) as error:
            raise TrainingError(f"{self.checkpoint} does not fit this config or is damaged ({error}).") from error
        checkpoint.restore_optimizer(self.optimizer, tensors)
        self.step = facts["step"]
        self.inherit(self.checkpoint)
        self.before -= self.step

    def inherit(self, weights: Path) -> None:
        """Tell of ``weights``, which this run begins with, when it tells of itself."""
        self.before, self.bundle, self.known = steps_of(weights), begun_with(weights), known_by(weights)

    def learning_rate(self) -> float:
        """A short warm-up, then half a cosine down to almost nothing; or constant."""
        c = self.config
        if c.schedule == "constant":
            return c.learning_rate
        warm = min(1.0, (self.step + 1) / min(300, c.steps / 10))
        return c.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * self.step / c.steps)) + 0.005)

    def one_step(self) -> float:
        """One step of the optimizer on this process's share of the batch; raises TrainingError when it diverges."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        # dropout, too, depends on nothing but the step
        seed = [self.config.seed, self.step, self.feed.share[0]]
        torch.manual_seed(int(np.random.default_rng(seed).integers(2**63)))
        x, labels = self.feed.batch(self.step)
        loss = self.loss(x.to(memory_format=torch.channels_last), labels)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):  # before the weights are touched
            raise TrainingError(self._diverged(float(loss.detach()), float(norm)))
        self.optimizer.step()
        self._average_weights()
        self.step += 1
        return float(loss.detach())

    def mixed_precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.mixed_precision)

    def _diverged(self, loss: float, norm: float) -> str:
        what = f"The loss is {loss} and its gradient {norm} at step {self.step}"
        if not self.checkpoint.exists():
            return f"{what}; nothing was saved yet. Start again with a lower learning_rate."
        step = checkpoint.facts(self.checkpoint)["step"]
        return f"{what}; the checkpoint of step {step} is good. Start again from it with a lower learning_rate."

    @torch.no_grad()
    def _average_weights(self) -> None:
        c = self.config
        keep = min(1 - 1 / c.average, (self.step + 1) / (self.step + 10)) if c.average else 0.0
        pairs = list(zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True))
        means, now = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(means, now, 1 - keep)
        for mean, count in (pair for pair in pairs if not pair[0].is_floating_point()):
            mean.copy_(count)

    @torch.no_grad()
    def look(self, at_most: int = 120) -> dict[str, float]:
        """Dice of the averaged weights, pooled over some held-out slices at the network's pixels; without any none."""
        if not self.seen:
            return {}
        sampler = self._sampler({"labelled": self.seen}, PLAIN, 0)
        self.average.eval()
        found, truth = [], []
        for first in range(0, at_most, 8):
            x, labels = sampler.batch(0, first, first + 8)
            found.append(self.answer(x.to(self.device)).argmax(1).cpu().numpy())
            truth.append(labels.cpu().numpy())
        f, t = np.concatenate(found), np.concatenate(truth)
        told = {"kidney_or_tumor": dice(f > 0, t > 0), "tumor": dice(f == TUMOR, t == TUMOR)}
        return {name: value for name, value in told.items() if value is not None}


def train(run: Run, until: int | None = None) -> None:
    """Go on to the end of the schedule, or to the step ``until``; raises TrainingError when that fails."""
    stop = run.config.steps if until is None else min(run.config.steps, until)
    if distributed.rank() == 0:
        run.begin()
        done = f"{run.folder} has its {run.step} steps, so nothing is trained; for other cases choose another folder."
        said = done if 0 < run.step >= stop else f"{run.left_out}Training {run.precision}, {run.kernels}."
        print(said, file=sys.stderr, flush=True)
    try:
        log = Log(run.folder, run.step) if distributed.rank() == 0 else None
        try:
            _steps(run, stop, log)
        except BaseException:
            with suppress(OSError):  # why it stopped is the news, not that its curves cannot be drawn
                if log:
                    log.close()
            raise
        if log:
            log.close()
    except OSError as error:
        raise TrainingError(
            f"{run.folder} cannot be written ({error}); its last checkpoint is whole. Make room and start the same "
            "command again."
        ) from error


def _steps(run: Run, stop: int, log: Log | None) -> None:
    config = run.config
    saved = time.monotonic()
    start = saved - (log.seconds if log else 0.0)
    losses: list[float] = []
    for _ in tqdm(range(run.step, stop), initial=run.step, total=config.steps, disable=not sys.stderr.isatty()):
        losses.append(run.one_step())
        looked = run.step % config.look_every == 0 or run.step == stop
        if log and (run.step % 50 == 0 or looked):
            values: dict[str, Any] = {"step": run.step, "loss": float(np.mean(losses))}
            values |= {"learning_rate": run.learning_rate(), "seconds": time.monotonic() - start}
            log.row(values | (run.look() if looked else {}), run.sampler.drawn)
            run.sampler.drawn.clear()
            losses.clear()
        if time.monotonic() - saved > config.checkpoint_minutes * 60:
            run.save()
            saved = time.monotonic()
    run.save()


@command("train")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--config", type=Path, required=True)
    add("--data", type=Path, required=True, help="the prepared set")
    add("--run", type=Path, required=True, help="folder for checkpoints and logs")
    add("--split", type=Path, help="who is trained on and who is held out, instead of drawing it")
    add("--fold", type=int, help="another fold of the cross-validation than the config's")
    add("--held-out", type=int, help="another number of held-out patients than the config's; 0: train on all")
    add("--sealed", nargs="*", help="patients not to touch, instead of the config's; nobody: --sealed alone")
    add("--steps", type=int, help="another length of the schedule than the config's")
    add("--until", type=int, help="stop at this step; the schedule stays")
    add("--weights", type=Path, help="start from these (a run's average.safetensors, or a bundle), widened if narrower")
    add("--device", default=default_device().type)
    given = arguments.parse_args()
    at_least(1, steps=given.steps)
    at_least(0, until=given.until)
    changes = {name: getattr(given, name) for name in ("fold", "steps", "held_out", "sealed")}
    config = Config.read(given.config, **changes)
    with distributed.processes(given.device) as device:
        if config.batch % distributed.world():
            raise InputError(f"A batch of {config.batch} cannot be divided by {distributed.world()} processes.")
        if given.weights and not config.parenchyma and not (given.run / CHECKPOINT).exists():
            check_start(given.weights, config)  # before the cases are read
        there = given.weights and given.weights.exists()  # gone on with, a run needs them no more
        begun_with = {"weights": asked.digest(given.weights) if there else None}
        if there:
            asked.compare(begun_with, given.run)
        if given.sealed:
            require_known(given.sealed, given.data)
        run = Run(config, given.data, given.run, device, given.split)
        if run.step == 0:
            if given.weights:
                start_from(run, given.weights)
            if distributed.rank() == 0:
                asked.keep(begun_with, given.run)
        train(run, given.until)
    return 0


def start_from(run: Run, weights: Path) -> None:
    """Give a fresh run the numbers of other weights of the same network, or of a narrower WP-UNet, which is widened.

    Raises InputError when they do not fit, or know whom the run is kept from.
    """
    not_known_to(weights, run.kept_from)
    fill_from(weights, run.config, (run.network, run.average))
    run.inherit(weights)


if __name__ == "__main__":
    sys.exit(main())
