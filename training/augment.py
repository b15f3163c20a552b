"""One random training sample from the material: what a scanner, a patient or a protocol could have made different."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from wpunet.preprocess import AIR_HU, normalise

from training.data import Slice

SOFT_TISSUE_HU = 45.0


@dataclass
class Sampler:
    """Draws samples for the network: float32 (size, size) normalised, and labels uint8.

    Patients are drawn evenly, those with small tumors more often, because these are what networks miss.
    """

    slices: list[Slice]
    kidney_free: list[Slice]
    generated: list[Slice] = field(default_factory=list)
    pixel_mm: float = 1.6
    size: int = 160
    negatives: float = 0.18  # share of samples from kidney-free levels
    phantoms: float = 0.08  # share of samples from generated abdomens, where there are any
    no_contrast: float = 0.16  # share with the contrast agent taken away
    healthy: float = 0.14  # share with the tumor-free half mirrored onto the other
    composite: float = 0.4  # of the labelled: the frame around the crop filled from a kidney-free level
    generator: np.random.Generator = field(default_factory=np.random.default_rng)

    def __post_init__(self) -> None:
        self._by_case: dict[int, list[Slice]] = {}
        for item in self.slices:
            self._by_case.setdefault(item.case, []).append(item)
        self._cases = sorted(self._by_case)
        weights = np.array([self._weight(case) for case in self._cases])
        self._weights = weights / weights.sum()

    def _weight(self, case: int) -> float:
        diameter = 2 * math.sqrt(max(item.tumor_mm2 for item in self._by_case[case]) / math.pi)
        return 2.5 if diameter < 25 else 1.5 if diameter < 40 else 1.0

    def batch(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (count, 1, size, size) float32 and labels (count, size, size) int64."""
        samples = [self.sample() for _ in range(count)]
        return np.stack([x for x, _ in samples])[:, None], np.stack([y for _, y in samples]).astype(np.int64)

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        g = self.generator
        if g.random() < self.negatives:
            item = self.kidney_free[g.integers(len(self.kidney_free))]
            hu, labels = item.hu.astype(np.float32), item.labels
            frame, shift_mm, outside = None, 80.0, AIR_HU
        elif self.generated and g.random() < self.phantoms:
            item = self.generated[g.integers(len(self.generated))]
            hu, labels = item.hu.astype(np.float32), item.labels
            frame, shift_mm, outside = None, 60.0, AIR_HU
        else:
            of_case = self._by_case[int(g.choice(self._cases, p=self._weights))]
            item = of_case[g.integers(len(of_case))]
            hu, labels = self._anatomy(item)
            frame = self.kidney_free[g.integers(len(self.kidney_free))] if g.random() < self.composite else None
            shift_mm, outside = 40.0, float(g.choice([AIR_HU, AIR_HU, -110.0]))
        hu, labels = self._place(hu, labels, item.pixel_mm, frame, shift_mm, outside)
        return normalise(self._scanner(hu)), labels

    def _anatomy(self, item: Slice) -> tuple[np.ndarray, np.ndarray]:
        """The labelled slice with a healthy kidney instead of the tumor, without contrast, or enhanced otherwise."""
        g = self.generator
        hu, labels = item.hu.astype(np.float32), item.labels
        if g.random() < self.healthy:
            hu, labels = mirror_healthy_half(hu, labels)
        if g.random() < self.no_contrast:
            return take_contrast_away(hu, labels, g), labels
        if g.random() < 0.5:
            hu = hu + cv2.GaussianBlur((labels == 1).astype(np.float32), (0, 0), 1.5) * g.uniform(-40, 60)
        if g.random() < 0.3:
            hu = hu + cv2.GaussianBlur((labels == 2).astype(np.float32), (0, 0), 1.5) * g.uniform(-25, 25)
        return hu, labels

    def _place(
        self,
        hu: np.ndarray,
        labels: np.ndarray,
        pixel_mm: float,
        frame: Slice | None,
        shift_mm: float,
        outside: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scale, turn, mirror and shift onto the network's pixels."""
        g = self.generator
        scale, angle = g.uniform(0.78, 1.25), g.uniform(-0.26, 0.26)
        mirror = -1.0 if g.random() < 0.5 else 1.0
        shift = g.uniform(-shift_mm, shift_mm, 2)
        to_slice = _matrix(self.size, self.pixel_mm * scale, angle, mirror, shift, hu.shape, pixel_mm)
        side = (self.size, self.size)
        coarsening = self.pixel_mm * scale / pixel_mm
        if coarsening > 1.3:  # what the triangle filter of the preprocessing does
            hu = cv2.GaussianBlur(hu, (0, 0), 0.4 * coarsening)
        linear = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        x = cv2.warpAffine(hu, to_slice, side, flags=linear, borderValue=outside)
        y = cv2.warpAffine(labels, to_slice, side, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        if frame is not None:
            to_frame = _matrix(self.size, self.pixel_mm * scale, angle, mirror, shift, frame.hu.shape, frame.pixel_mm)
            around = cv2.warpAffine(frame.hu.astype(np.float32), to_frame, side, flags=linear, borderValue=AIR_HU)
            inside = np.zeros(hu.shape, np.float32)
            inside[6:-6, 6:-6] = 1.0
            weight = cv2.GaussianBlur(cv2.warpAffine(inside, to_slice, side, flags=linear), (0, 0), 2)
            x = x * weight + around * (1 - weight)
        return x, y

    def _scanner(self, hu: np.ndarray) -> np.ndarray:
        """Calibration, noise and sharpness."""
        g = self.generator
        hu = hu * g.uniform(0.9, 1.1) + g.uniform(-15, 15)
        if g.random() < 0.5:
            noise = g.normal(0, g.uniform(3, 25), hu.shape).astype(np.float32)
            hu = hu + (noise if g.random() < 0.5 else cv2.GaussianBlur(noise, (0, 0), 0.7) * 2)
        if g.random() < 0.15:
            hu = cv2.GaussianBlur(hu.astype(np.float32), (0, 0), g.uniform(0.4, 1.0))
        return hu


def _matrix(
    size: int,
    step_mm: float,
    angle: float,
    mirror: float,
    shift_mm: np.ndarray,
    shape: tuple[int, ...],
    pixel_mm: float,
) -> np.ndarray:
    """(2, 3): output pixel (x, y) -> pixel of a slice of ``shape``, both centred, then shifted."""
    turn = np.array([[math.cos(angle) * mirror, -math.sin(angle)], [math.sin(angle) * mirror, math.cos(angle)]])
    linear = turn * step_mm / pixel_mm
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2]) + shift_mm / pixel_mm
    return np.column_stack([linear, centre - linear @ np.full(2, (size - 1) / 2)]).astype(np.float32)


def mirror_healthy_half(hu: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace the half with the tumor by the mirrored other half, if that one holds a kidney without tumor.

    Nearly every labelled slice has a tumor; healthy kidneys are what such material is short of.
    """
    half = hu.shape[1] // 2
    tumors = [(labels[:, :half] == 2).sum(), (labels[:, -half:] == 2).sum()]
    for good, source in ((0, slice(0, half)), (1, slice(hu.shape[1] - half, None))):
        if tumors[good] == 0 and tumors[1 - good] > 0 and (labels[:, source] == 1).sum() > 200:
            hu, labels = hu.copy(), labels.copy()
            target = slice(hu.shape[1] - half, None) if good == 0 else slice(0, half)
            hu[:, target], labels[:, target] = hu[:, source][:, ::-1], labels[:, source][:, ::-1]
            break
    return hu, labels


def take_contrast_away(hu: np.ndarray, labels: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """The slice as if no contrast agent had been given: vessels and organs near 45 HU, kidneys 22 to 42."""
    squeeze = g.uniform(0.08, 0.25)
    bone = SOFT_TISSUE_HU + squeeze * 175
    enhanced = np.interp(hu, [SOFT_TISSUE_HU, 220.0, 330.0], [SOFT_TISSUE_HU, bone, 330.0])
    plain = np.where((hu > SOFT_TISSUE_HU) & (hu < 330), enhanced, hu).astype(np.float32)
    kidney = labels > 0
    if kidney.any():
        soft = cv2.GaussianBlur(kidney.astype(np.float32), (0, 0), 1.2)
        plain = plain - soft * np.clip(np.median(plain[kidney]) - g.uniform(22, 42), -10, 60)
        plain = plain + cv2.GaussianBlur((labels == 2).astype(np.float32), (0, 0), 1.2) * g.uniform(-8, 12)
    return plain
