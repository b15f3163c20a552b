"""How bodies and phases of contrast differ smoothly: displaced organs, other HU of what takes up contrast.

As nnU-Net's elastic deformation and gamma (Isensee et al., Nat Methods 2021;18:203-211), with HU kept where they mean
something by themselves: fat, water and tissue without contrast.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

KNOTS_HU = (40.0, 80.0, 120.0, 170.0, 230.0, 300.0)  # below the first is what has taken up no contrast
COARSE = 6  # places along each side whose displacement is drawn


def draw_bend(g: np.random.Generator, bend_mm: float) -> np.ndarray | None:
    """(2, COARSE, COARSE) displacements along x and y in mm, of standard deviation ``bend_mm``; None for none."""
    return g.normal(0, bend_mm, (2, COARSE, COARSE)).astype(np.float32) if bend_mm else None


def draw_curve(g: np.random.Generator, spread: float) -> np.ndarray | None:
    """HU that each of ``KNOTS_HU`` becomes; None for no change.

    All slopes above the first knot share one factor, and each has one of its own, of half as wide a spread.
    """
    if not spread:
        return None
    exponents = g.uniform(-spread, spread) + g.uniform(-spread / 2, spread / 2, len(KNOTS_HU) - 1)
    return np.concatenate([KNOTS_HU[:1], KNOTS_HU[0] + np.cumsum(np.diff(KNOTS_HU) * np.exp(exponents))])


def bent(grid: Tensor, bend: np.ndarray, theta: np.ndarray, half_mm: float) -> Tensor:
    """Sampling places (h, w, 2) of ``theta`` (2, 3), displaced; ``half_mm``: half of the sample's width."""
    down, across = (_smoothing(size, grid.device) for size in grid.shape[:2])
    smooth = down @ torch.from_numpy(bend / half_mm).to(grid.device) @ across.T
    moved = torch.empty_like(grid)
    for k, (a, b) in enumerate(theta[:, :2].tolist()):
        torch.add(grid[:, :, k], a * smooth[0] + b * smooth[1], out=moved[:, :, k])
    return moved


@cache
def _smoothing(size: int, device: torch.device) -> Tensor:
    """(size, COARSE): bicubic interpolation along one side; as a product it takes a tenth of F.interpolate's time."""
    coarse = torch.eye(COARSE)[None, None]
    return F.interpolate(coarse, size=(size, COARSE), mode="bicubic", align_corners=False)[0, 0].to(device)


def curved(hu: Tensor, curve: np.ndarray) -> Tensor:
    """HU (h, w) with what lies above the first knot moved along the curve; above the last one all moves alike."""
    total = hu.clamp_max(KNOTS_HU[0])
    for low, high, to_low, to_high in zip(KNOTS_HU, KNOTS_HU[1:], curve, curve[1:], strict=False):
        total = total + (hu - low).clamp(0, high - low) * float((to_high - to_low) / (high - low))
    return total + (hu - KNOTS_HU[-1]).clamp_min(0)
