"""A stand-in for the network whose answer is known: bright is kidney, very bright is tumor."""

import numpy as np
from wpunet.monitor import Monitor
from wpunet.volume import from_array

KIDNEY_HU, TUMOR_HU = 150, 300
SOFT_HU = 30


class Oracle:
    """Logits that rise with HU: kidney-or-tumor from 90 HU, tumor from 225 HU."""

    description, batch, put = "oracle", 4, staticmethod(np.asarray)

    def __init__(self):
        self.warnings = []
        self.slices = 0

    def __call__(self, slices):
        self.slices += len(slices)
        hu = slices[:, 0] * 250 + 90
        foreground, tumor = (hu - 90) / 10, (hu - 225) / 10
        kidney = np.logaddexp(0, tumor)  # so that log(exp(k) + exp(t)) = foreground
        return np.stack([np.zeros_like(hu), foreground - kidney, foreground + tumor - kidney], axis=1)


class Telling(Oracle):
    """Very bright is no tumor but kidney, and there no parenchyma."""

    def __call__(self, slices):
        background, kidney, rest = np.moveaxis(super().__call__(slices), 1, 0)
        nothing = np.full_like(kidney, -30.0)
        whole = np.logaddexp(kidney, rest)
        return np.stack([background, whole, nothing, nothing, kidney - rest], axis=1)


def volume_with_ball(shape=(60, 80, 100), spacing=(2.0, 2.0, 2.0), centre=(30, 40, 50), radius_mm=24.0, hu=KIDNEY_HU):
    """A ball in soft tissue, centre in voxels; (slice, row, column) runs to feet, back, left."""
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    distance = sum(((grid - c) * s) ** 2 for grid, c, s in zip(grids, centre, spacing, strict=True)) ** 0.5
    array = np.where(distance <= radius_mm, hu, SOFT_HU).astype(np.int16)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = [-step for step in spacing]
    affine[3, 3] = 1
    return from_array(array, affine, "ball")


class Recorder(Monitor):
    """A monitor that keeps what it was told."""

    def __init__(self, cancel_at=None):
        self.told = []
        super().__init__(self._note, lambda: cancel_at is not None and len(self.told) >= cancel_at)

    def _note(self, stage, done, total):
        self.told.append((stage, done, total))
