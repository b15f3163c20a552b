"""Training samples from the prepared set: what a scanner, a patient or a protocol could have made different.

Sample ``i`` of step ``s`` is a function of (seed, s, i) alone. So a resumed run sees what an unbroken one would have
seen, and each of several processes draws just its share of a batch. Pictures are turned, scaled and blended on the
device that trains.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from wpunet.labels import CYST, KIDNEY, TUMOR
from wpunet.preprocess import AIR_HU, normalise

from training.data import GROUPS, HU_A_GREY, LOWEST_HU, Case
from training.lesions import Graft, Lesion, add_decoy, add_graft, add_lesion, seats
from training.losses import CYST_CLASS, EITHER
from training.mixture import Mixture
from training.shelf import Shelf, weight
from training.vary import bent, curved, draw_bend, draw_curve

SOFT_TISSUE_HU = 45.0
VISIBLE_MM = 40.0  # a tumor of this diameter bulges so much that it shows without contrast


@dataclass
class Plan:
    """Everything drawn for one sample; ``matrix`` (2, 3) takes an output position in mm to the slice's, in mm."""

    shelf: str
    case: int
    level: int
    matrix: np.ndarray
    frame: tuple[int, int] | None
    outside: float
    healthy: bool
    squeeze: float
    plain_hu: float
    kidney_hu: float
    tumor_hu: float
    gain: float
    offset: float
    noise_hu: float
    noise_coarse: bool
    window: tuple[float, float] | None
    blur: float
    noise_seed: int
    bend: np.ndarray | None
    curve: np.ndarray | None
    lesion: Lesion | None
    decoy: Lesion | None
    graft: Graft | None
    foreign: Graft | None


class Sampler:
    """Batches for the network: normalised slices (n, 1, size, size) float32 and labels (n, size, size) int64.

    Labels are classes: 0, 1 kidney, 2 tumor and with ``cysts`` 3 cyst and losses.EITHER; without them cysts are kidney.
    """

    def __init__(
        self,
        cases: dict[str, list[Case]],
        mixture: Mixture,
        pixel_mm: float,
        size: int,
        seed: int,
        device: str | torch.device = "cpu",
        *,
        cysts: bool = False,
        sources: dict[str, float] | None = None,
    ) -> None:
        self.mixture, self.pixel_mm, self.size, self.seed = mixture, pixel_mm, size, seed
        self.device, self.cysts = torch.device(device), cysts
        self.shelves = {}
        for group in GROUPS:
            there = cases.get(group, [])
            weights = [weight(case, mixture.small_tumors) if group == "labelled" else 1.0 for case in there]
            if mixture.cysts:
                weights = [w * (1 + bool((case.labels == CYST).any())) for w, case in zip(weights, there, strict=True)]
            self.shelves[group] = Shelf(there, self.device, sources or {}, np.array(weights))
        self.drawn: Counter[tuple[str, str]] = Counter()

    def batch(self, step: int, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Samples ``first`` to ``last`` (not included) of a step."""
        plans = [self._plan(np.random.default_rng([self.seed, step, index])) for index in range(first, last)]
        self.drawn.update((plan.shelf, self._case(plan).source) for plan in plans)
        placed = [self._place(plan) for plan in plans]
        hu, labels = torch.stack([x for x, _ in placed]), torch.stack([y for _, y in placed])
        hu = self._tissue(hu, labels, plans)
        hu = self._windowed(self._scanner(hu, plans), plans)
        told = torch.tensor([self._case(plan).cysts for plan in plans], device=self.device)
        return normalise(hu)[:, None], self._classes(labels, told)

    def _case(self, plan: Plan) -> Case:
        return self.shelves[plan.shelf].cases[plan.case]

    def _classes(self, labels: Tensor, told: Tensor) -> Tensor:
        """Labels (n, h, w) -> classes; ``told`` (n,): whether what is marked as kidney cannot be a cyst."""
        if not self.cysts:
            return labels.masked_fill(labels == CYST, KIDNEY).long()
        either = (labels == KIDNEY) & ~told[:, None, None]
        return labels.masked_fill(labels == CYST, CYST_CLASS).masked_fill(either, EITHER).long()

    def _plan(self, g: np.random.Generator) -> Plan:
        """Draw a sample; every number is drawn whether it is used or not, so that one choice does not move others."""
        m = self.mixture
        group_draw, frame_draw, healthy, plain, tint, doubt = g.random(6)
        shelf = self._shelf(group_draw)
        labelled, real = shelf == "labelled", shelf in ("labelled", "tumor_free")
        case = self.shelves[shelf].draw(float(g.random()))
        donors = self.shelves["labelled"].donors
        level = self._level(shelf, case, g)
        frame = self._frame(g) if labelled and frame_draw < m.composite else None
        centre, reach = np.zeros(2), m.shift_mm if labelled else 2 * m.shift_mm
        if g.random() < m.focus and (mark := self._mark(shelf, case, level, g)) is not None:
            centre, reach = mark, m.shift_mm * 0.75
        return Plan(
            shelf=shelf,
            case=case,
            level=level,
            matrix=_matrix(g, m, centre, reach),
            frame=frame,
            outside=float(g.choice([AIR_HU, AIR_HU, -110.0])) if m.shift_mm else AIR_HU,
            healthy=labelled and healthy < m.healthy,
            squeeze=float(g.uniform(0.08, 0.25)) if real and plain < m.no_contrast else 1.0,
            plain_hu=float(g.uniform(22, 42)),
            kidney_hu=float(g.uniform(-0.65, 1)) * m.contrast_hu * (tint < 0.5),
            tumor_hu=float(g.uniform(-0.4, 0.4)) * m.contrast_hu * (0.35 < tint < 0.65),
            gain=float(g.uniform(0.9, 1.1)) if m.noise_hu else 1.0,
            offset=float(g.uniform(-15, 15)) if m.noise_hu else 0.0,
            noise_hu=float(g.uniform(0.1, 1)) * m.noise_hu * (doubt < 0.5),
            noise_coarse=bool(doubt < 0.25),
            window=(float(g.uniform(-160, -60)), float(g.uniform(240, 340))) if g.random() < m.window else None,
            blur=float(g.uniform(0.4, 1.0)) * (doubt > 0.85) * bool(m.noise_hu),
            noise_seed=int(g.integers(2**31)),
            lesion=Lesion.draw(g) if labelled and g.random() < m.lesions else None,
            decoy=Lesion.draw(g) if shelf != "generated" and g.random() < m.decoys else None,
            graft=Graft.draw(g, donors) if labelled and g.random() < m.grafts else None,
            foreign=Graft.draw(g, donors) if shelf != "generated" and g.random() < m.foreign else None,
            bend=draw_bend(g, m.bend_mm),
            curve=draw_curve(g, m.curve),
        )

    def _shelf(self, draw: float) -> str:
        """The group that a number from 0 to 1 falls to; the labelled cases take the place of a group without cases."""
        for group in ("kidney_free", "generated", "tumor_free"):
            share = getattr(self.mixture, group)
            if draw < share:
                return group if self.shelves[group].cases else "labelled"
            draw -= share
        return "labelled"

    def _level(self, shelf: str, case: int, g: np.random.Generator) -> int:
        """Any slice; of whole volumes nine in ten times one with kidney, which are few; cysts as asked for."""
        marked, count = self.shelves[shelf].marked[case], len(self.shelves[shelf].cases[case].labels)
        cystic = self.shelves[shelf].cystic[case]
        anywhere, among = int(g.integers(count)), g.random()
        if len(cystic) and g.random() < self.mixture.cysts:
            return int(cystic[int(among * len(cystic))])
        rare = 0 < len(marked) < count
        return int(marked[int(among * len(marked))]) if rare and g.random() < 0.9 else anywhere

    def _mark(self, shelf: str, case: int, level: int, g: np.random.Generator) -> np.ndarray | None:
        """A pixel of kidney, tumor or cyst, each as likely: x, y in mm from the slice's centre; None without any."""
        labels, pixel_mm = self.shelves[shelf].cases[case].labels[level], self.shelves[shelf].cases[case].pixel_mm
        wanted, at = g.permutation((KIDNEY, TUMOR, CYST)), g.random()
        marked = next(
            (there for one in wanted.tolist() if len(there := np.flatnonzero(labels == one))), np.zeros(0, int)
        )
        if not len(marked):
            return None
        row, column = divmod(int(marked[int(at * len(marked))]), labels.shape[1])
        return (np.array([column, row]) + 0.5 - np.array(labels.shape[::-1]) / 2) * pixel_mm

    def _frame(self, g: np.random.Generator) -> tuple[int, int] | None:
        shelf = self.shelves["kidney_free"]
        if not len(shelf):
            return None
        case = int(g.integers(len(shelf)))
        return case, int(g.integers(len(shelf.cases[case].labels)))

    def _place(self, plan: Plan) -> tuple[Tensor, Tensor]:
        """A slice on the network's pixels, the frame around it filled; HU float32 and labels uint8, (size, size)."""
        shelf = self.shelves[plan.shelf]
        grey, labels = shelf.grey[plan.case][plan.level], shelf.labels[plan.case][plan.level]
        if plan.healthy:
            grey, labels = mirror_healthy_half(grey, labels)
        pixel_mm = shelf.cases[plan.case].pixel_mm
        hu = self._sample(_to_hu(grey), plan.matrix, pixel_mm, plan.outside, bend=plan.bend)
        placed = self._sample(labels.float(), plan.matrix, pixel_mm, 0.0, nearest=True, bend=plan.bend).to(torch.uint8)
        if plan.frame is not None:
            kidney_free = self.shelves["kidney_free"]
            case, level = plan.frame
            around = _to_hu(kidney_free.grey[case][level])
            around = self._sample(around, plan.matrix, kidney_free.cases[case].pixel_mm, AIR_HU)
            inside = F.pad(torch.ones(grey.shape[0] - 12, grey.shape[1] - 12, device=self.device), (6, 6, 6, 6))
            weight = self._sample(inside, plan.matrix, pixel_mm, 0.0, bend=plan.bend)
            weight = blur(weight[None], [2.0])[0]
            hu = hu * weight + around * (1 - weight)
            placed = placed * (weight >= 0.5)  # a kidney that the crop cuts ends where it is covered
        if plan.graft is not None:
            hu, placed = self._grafted(hu, placed, plan.graft)
        if plan.foreign is not None:
            hu, placed = self._grafted(hu, placed, plan.foreign, decoy=True)
        if plan.lesion is not None:
            hu, placed = add_lesion(hu, placed, plan.lesion, self.pixel_mm)
        if plan.decoy is not None:
            hu = add_decoy(hu, placed, plan.decoy, self.pixel_mm)
        return hu, placed

    def _grafted(self, hu: Tensor, labels: Tensor, graft: Graft, *, decoy: bool = False) -> tuple[Tensor, Tensor]:
        """A placed slice with a tumor of the graft's donor; as it was where there is no place for it."""
        shelf, places = self.shelves["labelled"], seats(hu, labels, decoy=decoy)
        levels = shelf.tumorous[graft.donor]
        if not len(levels) or not len(places):
            return hu, labels
        level = int(levels[int(graft.level * len(levels))])
        donor = shelf.cases[graft.donor]
        row, column = places[int(graft.place * len(places))].tolist()
        seat_mm = (np.array([column, row]) + 0.5 - self.size / 2) * self.pixel_mm
        matrix = graft.matrix(donor.labels[level] == TUMOR, donor.pixel_mm, seat_mm)
        donor_hu = self._sample(_to_hu(shelf.grey[graft.donor][level]), matrix, donor.pixel_mm, 0.0)
        marks = self._sample(shelf.labels[graft.donor][level].float(), matrix, donor.pixel_mm, 0.0, nearest=True)
        return add_graft(hu, labels, donor_hu, marks.to(torch.uint8), graft.follow, decoy=decoy)

    def _sample(
        self,
        picture: Tensor,
        matrix: np.ndarray,
        pixel_mm: float,
        outside: float,
        *,
        nearest: bool = False,
        bend: np.ndarray | None = None,
    ) -> Tensor:
        """``picture`` (h, w) at the output's pixels; each the mean of 2x2 points against aliasing."""
        fine = 1 if nearest else 2
        height, width = picture.shape
        # mm from the picture's centre -> grid_sample's -1 to 1 over its width
        scale = np.array([[2 / (width * pixel_mm)], [2 / (height * pixel_mm)]])
        half = self.size * self.pixel_mm / 2
        theta = matrix * scale
        theta[:, :2] *= half
        mode = "nearest" if nearest else "bilinear"
        grid = _grid(theta, self.size * fine, self.device)
        moved = F.grid_sample(
            (picture - outside)[None, None],
            (grid if bend is None else bent(grid, bend, theta, half))[None],
            mode=mode,
            padding_mode="zeros",
            align_corners=False,
        )
        return (halved(moved[0, 0]) if fine > 1 else moved[0, 0]) + outside

    def _tissue(self, hu: Tensor, labels: Tensor, plans: Sequence[Plan]) -> Tensor:
        """Contrast: kidneys and tumors brighter or darker than they were, or the agent taken away."""
        kidney, tumor = (blur((labels == one).float(), [1.0] * len(plans)) for one in (KIDNEY, TUMOR))
        hu = hu + kidney * self._column(plans, "kidney_hu") + tumor * self._column(plans, "tumor_hu")
        for k, plan in enumerate(plans):
            if plan.curve is not None:
                hu[k] = curved(hu[k], plan.curve)
            if plan.squeeze < 1 and not self._hidden(labels[k]):
                hu[k] = take_contrast_away(hu[k], labels[k], plan.squeeze, plan.plain_hu)
        return hu

    def _hidden(self, labels: Tensor) -> bool:
        """Whether the slice has a tumor so small that nobody would see it without contrast."""
        mm2 = float((labels == TUMOR).sum()) * self.pixel_mm**2
        return 0 < mm2 < math.pi * (VISIBLE_MM / 2) ** 2

    def _scanner(self, hu: Tensor, plans: Sequence[Plan]) -> Tensor:
        """Calibration, noise and sharpness."""
        if not self.mixture.noise_hu:
            return hu
        hu = hu * self._column(plans, "gain") + self._column(plans, "offset")
        noise = torch.stack([self._noise(plan) for plan in plans])
        coarse = torch.tensor([plan.noise_coarse for plan in plans], device=self.device)[:, None, None]
        noise = torch.where(coarse, blur(noise, [0.7] * len(plans)) * 2, noise)
        return blur(hu + noise * self._column(plans, "noise_hu"), [plan.blur for plan in plans])

    @staticmethod
    def _windowed(hu: Tensor, plans: Sequence[Plan]) -> Tensor:
        """What a narrow window shows of the slices that get one."""
        for k, plan in enumerate(plans):
            if plan.window is not None:
                hu[k] = hu[k].clip(*plan.window)
        return hu

    def _noise(self, plan: Plan) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(plan.noise_seed)
        return torch.randn(self.size, self.size, generator=generator, device=self.device)

    def _column(self, plans: Sequence[Plan], name: str) -> Tensor:
        """(n, 1, 1): one number of each plan."""
        values = [float(getattr(plan, name)) for plan in plans]
        return torch.tensor(values, dtype=torch.float32, device=self.device)[:, None, None]


def _to_hu(grey: Tensor) -> Tensor:
    return grey.float() * HU_A_GREY + LOWEST_HU


def _matrix(g: np.random.Generator, m: Mixture, centre: np.ndarray, reach_mm: float) -> np.ndarray:
    """(2, 3): turned, scaled, mirrored half the time, about a place near ``centre``; plain if the mixture is."""
    scale, angle = math.exp(g.uniform(-1, 1) * math.log(m.zoom)), math.radians(g.uniform(-1, 1) * m.turn_degrees)
    mirror = -1.0 if g.random() < 0.5 and m.shift_mm else 1.0
    shift = g.uniform(-reach_mm, reach_mm, 2) if reach_mm else np.zeros(2)
    turn = np.array([[math.cos(angle) * mirror, -math.sin(angle)], [math.sin(angle) * mirror, math.cos(angle)]])
    longer, line = (math.exp(g.uniform(0, m.stretch)), g.uniform(0, math.pi)) if m.stretch else (1.0, 0.0)
    along = np.array([math.cos(line), math.sin(line)])
    stretch = np.eye(2) / math.sqrt(longer) + np.outer(along, along) * (math.sqrt(longer) - 1 / math.sqrt(longer))
    return np.column_stack([stretch @ turn * scale, centre + shift])


def _grid(theta: np.ndarray, size: int, device: torch.device) -> Tensor:
    """(size, size, 2): where ``theta`` (2, 3) takes each pixel; F.affine_grid's answer in a tenth of its time."""
    at = (2 * torch.arange(size, device=device, dtype=torch.float32) + 1) / size - 1
    grid = torch.empty(size, size, 2, device=device)
    for k, (a, b, c) in enumerate(theta.tolist()):
        torch.add(a * at, (b * at + c)[:, None], out=grid[:, :, k])
    return grid


def halved(picture: Tensor) -> Tensor:
    """(2h, 2w) -> (h, w), each the mean of 2x2; F.avg_pool2d's answer in a fraction of its time."""
    upper, lower = picture[::2], picture[1::2]
    return (upper[:, ::2] + upper[:, 1::2] + lower[:, ::2] + lower[:, 1::2]) / 4


def blur(pictures: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Gaussian blur of each picture (n, h, w) with its own sigma in pixels; 0 leaves it as it is."""
    if not any(sigmas):
        return pictures
    reach = max(1, math.ceil(3 * max(sigmas)))
    at = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    sigma = torch.tensor([float(s) for s in sigmas], device=pictures.device).clamp_min(1e-3)[:, None]
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    n = len(pictures)
    x = F.pad(pictures[None], (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, kernel[:, None, None, :], groups=n)
    return F.conv2d(x, kernel[:, None, :, None], groups=n)[0]


def mirror_healthy_half(grey: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Replace the half with the tumor by the mirrored other half, if that one holds a kidney without tumor.

    Nearly every labelled slice has a tumor; healthy kidneys are what such material is short of.
    """
    width = grey.shape[1]
    half = width // 2
    left, right = slice(0, half), slice(width - half, None)
    for good, bad in ((left, right), (right, left)):
        healthy = not bool((labels[:, good] == 2).any()) and int((labels[:, good] == 1).sum()) > 200
        if healthy and bool((labels[:, bad] == 2).any()):
            grey, labels = grey.clone(), labels.clone()
            grey[:, bad], labels[:, bad] = grey[:, good].flip(1), labels[:, good].flip(1)
            break
    return grey, labels


def take_contrast_away(hu: Tensor, labels: Tensor, squeeze: float, kidney_hu: float) -> Tensor:
    """A slice (h, w) as if without contrast agent: vessels and organs near 45 HU, kidneys at ``kidney_hu``."""
    enhanced = SOFT_TISSUE_HU + (hu - SOFT_TISSUE_HU) * squeeze
    to_bone = SOFT_TISSUE_HU + 175 * squeeze
    between = to_bone + (hu - 220) * (330 - to_bone) / 110
    plain = torch.where(hu > 330, hu, torch.where(hu > 220, between, torch.where(hu > SOFT_TISSUE_HU, enhanced, hu)))
    marked = (labels > 0) & (labels != CYST)  # its fluid takes up no contrast, so it loses none
    if bool(marked.any()):
        soft = blur(marked.float()[None], [1.0])[0]
        drop = float(plain[marked].median()) - kidney_hu
        plain = plain - soft * min(max(drop, -10.0), 60.0)
    return plain
