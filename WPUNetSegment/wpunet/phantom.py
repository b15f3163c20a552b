"""A procedural abdominal CT with exact truth: python -m wpunet.phantom OUT.nii.gz [--truth TRUTH.nii.gz]

Organs are implicit functions of a position in the patient, in mm: x to the left, y to the back, z to the feet, with the
origin in the middle of the body at the level of the kidneys. They are painted one over the other, softly at the edges,
then blurred and given the grain of a scanner. A seed draws another patient.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from .canvas import Canvas, Field, ellipsoid, tube
from .errors import OutputError
from .labels import CYST, KIDNEY, TUMOR
from .outputs import replacing

# HU by contrast phase
TISSUES = ("cortex", "medulla", "aorta", "cava", "liver", "spleen", "tumor", "muscle", "pelvis")
PHASES = {
    phase: dict(zip(TISSUES, hu, strict=True))
    for phase, hu in {
        "none": (33, 31, 42, 40, 58, 48, 36, 52, 8),
        "arterial": (195, 85, 310, 70, 72, 130, 105, 58, 10),
        "venous": (185, 160, 160, 150, 112, 122, 85, 62, 15),
        "excretory": (125, 120, 105, 105, 92, 98, 65, 62, 700),
    }.items()
}
AIR, FAT, SKIN, LUNG, WATERY, FLUID = -1000, -102, 15, -860, 8, 22


@dataclass(frozen=True)
class Phantom:
    """A CT and its truth.

    hu:     int16 (slice, row, column): head to feet, to the back, to the patient's left
    labels: uint8, same grid: 0, 1 kidney, 2 tumor, 4 cyst
    affine: (4, 4), (slice, row, column, 1) -> RAS mm
    facts:  {"tumors": [{"side", "centre_ras_mm", "diameter_mm", "volume_ml"}], "kidneys_ml": {side: ml}}
    """

    hu: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    facts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Kidney:
    """Where a kidney lies: x, y, z and radii in mm; ``outward`` is -1 for the right one."""

    side: str
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    outward: float
    tilt: float

    @property
    def surface(self) -> Field:
        return ellipsoid(self.centre, self.radii, self.tilt)

    @property
    def sinus(self) -> Field:
        x, y, z = self.centre
        rx, ry, rz = self.radii
        return ellipsoid((x - self.outward * rx * 0.62, y - 3, z), (rx * 0.62, ry * 0.42, rz * 0.5), self.tilt)


class Patient:
    """The anatomy that a seed draws."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        r = self.random.uniform
        self.width, self.depth = r(145, 185), r(95, 130)  # half axes of the body
        self.fat, self.wall = r(10, 28), r(9, 14)
        self.spine_y = self.depth * 0.42
        self.sway = r(-4, 4)
        self.kidneys = tuple(
            Kidney(
                side,
                (out * r(58, 68), self.spine_y - r(4, 14), z),
                (r(25, 31), r(22, 27), r(48, 60)),
                out,
                out * r(0.1, 0.25),
            )
            for side, out, z in (("right", -1.0, r(2, 18)), ("left", 1.0, r(-18, 0)))
        )

    def body(self, inset: float) -> Field:
        def distance(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
            rx, ry = self.width - inset, self.depth - inset * 0.8
            swell = 1 + 0.03 * np.sin(z / 70)
            u, v = np.abs(x / (rx * swell)), np.abs(y / (ry * swell))
            return ((u**2.4 + v**2.4) ** (1 / 2.4) - 1) * ry

        return distance


def make(
    seed: int = 0,
    shape: tuple[int, int, int] = (100, 256, 256),
    spacing: tuple[float, float, float] = (3.0, 1.6, 1.6),
    phase: str = "venous",
    tumors: int = 1,
    tumor_mm: float = 30.0,
    cysts: int = 1,
    noise_hu: float = 12.0,
    kidneys: tuple[str, ...] = ("right", "left"),
) -> Phantom:
    """A phantom of ``shape`` (slices, rows, columns) and ``spacing`` in mm, centred on the kidneys."""
    patient, tissue = Patient(seed), PHASES[phase]
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    canvas = Canvas(
        axes[0][:, None, None].astype(np.float32),
        axes[1][None, :, None].astype(np.float32),
        axes[2][None, None, :].astype(np.float32),
        max(spacing[1:]),
        np.full(shape, AIR, np.float32),
    )
    _paint_body(canvas, patient, tissue)
    _paint_organs(canvas, patient, tissue)
    _paint_bones(canvas, patient)
    labels = np.zeros(shape, np.uint8)
    found = [kidney for kidney in patient.kidneys if kidney.side in kidneys]
    for kidney in found:
        _paint_kidney(canvas, kidney, tissue, labels)
    lesions = [_paint_tumor(canvas, patient, found[k % len(found)], tissue, tumor_mm, labels) for k in range(tumors)]
    for k in range(cysts):
        _paint_cyst(canvas, patient, found[(k + 1) % len(found)], labels)
    hu = _scan(canvas.hu, patient, noise_hu)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = [-step for step in spacing]
    affine[:, 3] = [-axes[2][0], -axes[1][0], -axes[0][0], 1.0]
    return Phantom(hu, labels, affine, _facts(labels, spacing, affine, found, lesions))


def _facts(
    labels: np.ndarray, spacing: tuple[float, ...], affine: np.ndarray, kidneys: list[Kidney], lesions: list[dict]
) -> dict:
    voxel_ml = float(np.prod(spacing)) / 1000
    bodies, _ = ndimage.label(labels == TUMOR)
    for lesion in lesions:
        index = np.linalg.solve(affine, np.append(lesion["centre_ras_mm"], 1.0))[:3]
        at = tuple(np.clip(np.round(index).astype(int), 0, np.array(labels.shape) - 1))
        lesion["volume_ml"] = float((bodies == bodies[at]).sum() * voxel_ml) if bodies[at] else 0.0
    half = labels.shape[2] // 2
    sides = {"right": labels[:, :, :half], "left": labels[:, :, half:]}
    return {
        "tumors": lesions,
        "kidneys_ml": {k.side: float((sides[k.side] > 0).sum() * voxel_ml) for k in kidneys},
    }


def _paint_body(canvas: Canvas, patient: Patient, tissue: dict) -> None:
    """Table, skin, fat, the muscular wall, and the fat inside."""
    top = patient.depth + 4
    sag = lambda x, y, z: np.abs(y - top - 12 + (x / 150) ** 2 * 18) - 2.0 + 0.0 * z  # noqa: E731
    canvas.paint(-250, canvas.cover(sag) * (np.abs(canvas.x) < 220))
    for inset, value in ((0.0, SKIN), (2.5, FAT), (patient.fat, tissue["muscle"])):
        canvas.paint(value, canvas.cover(patient.body(inset)))
    canvas.paint(FAT + 6, canvas.cover(patient.body(patient.fat + patient.wall)))


def _paint_organs(canvas: Canvas, patient: Patient, tissue: dict) -> None:
    r, inside = patient.random.uniform, canvas.cover(patient.body(patient.fat + patient.wall + 2))
    w, d, spine = patient.width, patient.depth, patient.spine_y
    _paint_bowel(canvas, patient, inside)

    def organ(value: float, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> None:
        box = canvas.box(centre, max(radii) + 5)
        canvas.paint(value, canvas.cover(ellipsoid(centre, radii), box) * inside[box], box)

    organ(FLUID + 10, (0.32 * w, -0.3 * d, -95), (48, 38, 55))  # stomach: fluid, and gas in front
    organ(-950, (0.32 * w, -0.52 * d, -95), (36, 18, 42))
    organ(tissue["liver"], (-0.5 * w, -0.12 * d, -95 + r(-8, 8)), (0.62 * w, 0.8 * d, 92))
    organ(tissue["liver"], (-0.1 * w, -0.45 * d, -115), (0.5 * w, 0.36 * d, 45))
    organ(12, (-0.35 * w, -0.48 * d, -20), (16, 18, 28))  # gallbladder
    organ(tissue["spleen"], (0.68 * w, 0.3 * d, -88 + r(-6, 6)), (30, 46, 52))
    organ(tissue["liver"] * 0.85, (0.05 * w, -0.12 * d, -25), (62, 13, 13))  # pancreas
    dome = lambda x, y, z: z + 150 - 25 * ((x / w) ** 2 + ((y - 20) / d) ** 2) * 2  # noqa: E731
    canvas.paint(LUNG, canvas.cover(dome) * inside * (np.hypot(canvas.x - 15, canvas.y + 20) > 52))
    for out in (-1.0, 1.0):  # psoas and the muscles beside the spine
        down = np.clip((canvas.z + 60) / 60, 0.3, 1.0)
        psoas = lambda x, y, _z, out=out, down=down: np.hypot(x - out * 36, y - spine - 2) - 17 * down  # noqa: E731
        canvas.paint(tissue["muscle"], canvas.cover(psoas) * inside)
        canvas.paint(tissue["muscle"], canvas.cover(tube((out * 36, spine + 30), (28, 17))))
    canvas.paint(tissue["aorta"], canvas.cover(tube((10 + patient.sway, spine - 28), (10.5, 10.5))))
    canvas.paint(tissue["cava"], canvas.cover(tube((-19, spine - 27), (13, 9.5))))


def _paint_bowel(canvas: Canvas, patient: Patient, inside: np.ndarray) -> None:
    """Loops with wall and content, some with gas; a colon with mottled content on both sides."""
    r, w, d = patient.random.uniform, patient.width, patient.depth
    for _ in range(70):
        centre = (r(-0.55, 0.55) * w, r(-0.62, -0.05) * d, r(-40, 330))
        radii = (r(11, 17), r(10, 15), r(14, 30))
        content = -900.0 if r(0, 1) < 0.15 else r(10, 45)
        for shrink, value in ((0.0, 55.0), (2.5, content)):
            inner = (radii[0] - shrink, radii[1] - shrink, radii[2] - shrink)
            box = canvas.box(centre, max(radii) + 4)
            canvas.paint(value, canvas.cover(ellipsoid(centre, inner), box) * inside[box], box)
    for x in (-0.66 * w, 0.7 * w):
        colon = canvas.cover(tube((x, -0.05 * d), (22, 20))) * inside * (canvas.z > -15)
        content = canvas.cover(tube((x, -0.05 * d), (19, 17))) * inside * (canvas.z > -12)
        lumps = ndimage.gaussian_filter(patient.random.normal(size=canvas.hu.shape).astype(np.float32), 1.5)
        canvas.paint(50.0, colon)
        canvas.paint(np.where(lumps > 0.05, -800.0, 20.0).astype(np.float32), content)


def _paint_bones(canvas: Canvas, patient: Patient) -> None:
    spine, w, d = patient.spine_y, patient.width, patient.depth
    level = np.mod(canvas.z + 14, 36.0)
    disc = (level < 9).astype(np.float32)
    for inset, bone, between in ((0.0, 420.0, 80.0), (2.5, 190.0, 95.0)):
        body = canvas.cover(tube((patient.sway * 0.3, spine), (22 - inset, 17 - inset)))
        canvas.paint(bone * (1 - disc) + between * disc, body)
    arch = np.clip(1.2 - np.abs(level - 22) / 9, 0, 1)  # the bony arches lie at the vertebrae
    canvas.paint(330.0, canvas.cover(tube((0, spine + 33), (5, 17))) * arch)
    for out in (-1.0, 1.0):
        canvas.paint(330.0, canvas.cover(tube((out * 15, spine + 22), (7, 6))) * arch)
        canvas.paint(320.0, canvas.cover(tube((out * 34, spine + 16), (14, 4))) * np.clip(arch - 0.5, 0, 1) * 2)
    canvas.paint(30.0, canvas.cover(tube((0, spine + 23), (9, 7))))
    wall = patient.body(patient.fat + 6)
    around = np.arctan2(canvas.y / d, canvas.x / w)
    turn = np.mod(canvas.z + 26 * np.abs(around - np.pi / 2) * 1.6, 30.0)
    rib = lambda x, y, z: np.hypot(wall(x, y, z) * 0.9, turn - 15) - 5.0  # noqa: E731
    above = np.clip((15 - 40 * np.abs(np.cos(around)) - canvas.z) / 8, 0, 1)
    cover = canvas.cover(rib) * above
    canvas.paint(420.0, cover)
    for out in (-1.0, 1.0):  # the iliac wings
        wing = lambda x, y, z, out=out: np.abs(np.hypot((x - out * 30) / 1.0, y - 10) - 92 + (z - 150) * 0.25) - 5.0  # noqa: E731
        where = (canvas.z > 125) & (canvas.y > -15) & (out * canvas.x > 35)
        canvas.paint(380.0, canvas.cover(wing) * where)


def _paint_kidney(canvas: Canvas, kidney: Kidney, tissue: dict, labels: np.ndarray) -> None:
    """Cortex, pyramids of medulla, and a sinus of fat with the renal pelvis and vessels."""
    box = canvas.box(kidney.centre, max(kidney.radii) + 20)
    z, y, x = canvas.z[box[0]], canvas.y[:, box[1]], canvas.x[:, :, box[2]]
    depth = -kidney.surface(x, y, z)
    around = np.arctan2(y - kidney.centre[1], x - kidney.centre[0])
    columns = np.sin(5 * around) + np.sin((z - kidney.centre[2]) / 5.0)
    medulla = np.clip((depth - 6) / 3, 0, 1) * np.clip(columns * 2 + 1.2, 0, 1)
    texture = tissue["cortex"] + medulla * (tissue["medulla"] - tissue["cortex"])
    whole, sinus = canvas.cover(kidney.surface, box), canvas.cover(kidney.sinus, box)
    canvas.paint(FAT + 6, canvas.cover(lambda *p: kidney.surface(*p) - 7, box), box)  # perirenal fat
    canvas.paint(texture, whole, box)
    canvas.paint(FAT + 20, sinus, box)
    cx, cy, cz = kidney.centre
    hilum = cx - kidney.outward * kidney.radii[0] * 0.55
    canvas.ellipsoid(tissue["pelvis"], (hilum, cy - 2, cz + 4), (8, 6, 13))
    canvas.ellipsoid(tissue["cava"], (cx - kidney.outward * 34, cy - 12, cz - 6), (20, 4, 4))
    labels[box][(whole > 0.5) & (sinus < 0.5)] = KIDNEY


def _on_surface(patient: Patient, kidney: Kidney, outside: float) -> tuple[float, float, float]:
    """A place on the outer side of a kidney, ``outside`` mm from its surface."""
    g = patient.random
    elevation, turn = g.uniform(-0.9, 0.9), g.uniform(-1.0, 1.0)
    direction = np.array(
        [kidney.outward * np.cos(elevation) * np.cos(turn), np.cos(elevation) * np.sin(turn), np.sin(elevation)]
    )
    radii = np.array(kidney.radii)
    reach = 1 / np.linalg.norm(direction / radii) + outside
    x, y, z = np.array(kidney.centre) + direction * reach
    return float(x + kidney.tilt * (z - kidney.centre[2])), float(y), float(z)


def _paint_tumor(
    canvas: Canvas, patient: Patient, kidney: Kidney, tissue: dict, diameter: float, labels: np.ndarray
) -> dict:
    """A lumpy ball at the surface, unevenly enhancing, with a dead core when it is large."""
    g = patient.random
    centre = _on_surface(patient, kidney, outside=g.uniform(-0.25, 0.2) * diameter)
    radius = diameter / 2
    box = canvas.box(centre, radius * 1.3 + 6)
    grain = ndimage.gaussian_filter(g.normal(size=canvas.hu[box].shape), 2.0)
    grain /= grain.std() + 1e-6
    cx, cy, cz = centre
    phases = g.uniform(0, 6, 3)

    def surface(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        lumps = np.sin((x - cx) / radius * 3 + phases[0]) * np.sin((y - cy) / radius * 3 + phases[1])
        return np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) - radius * (
            1 + 0.05 * lumps * np.sin(z / 6 + phases[2])
        )

    cover = canvas.cover(surface, box)
    canvas.paint((tissue["tumor"] + 12 * grain).astype(np.float32), cover, box)
    if diameter > 40:
        canvas.ellipsoid(FLUID, (cx + 3, cy, cz), (radius * 0.45,) * 3)
    labels[box][cover > 0.5] = TUMOR
    return {"side": kidney.side, "centre_ras_mm": (-cx, -cy, -cz), "diameter_mm": diameter}


def _paint_cyst(canvas: Canvas, patient: Patient, kidney: Kidney, labels: np.ndarray) -> None:
    radius = patient.random.uniform(6, 14)
    centre = _on_surface(patient, kidney, outside=-0.3 * radius)
    box = canvas.box(centre, radius + 5)
    cover = canvas.cover(ellipsoid(centre, (radius,) * 3), box) * (labels[box] != TUMOR)
    canvas.paint(WATERY, cover, box)
    labels[box][cover > 0.5] = CYST


def _scan(hu: np.ndarray, patient: Patient, noise_hu: float) -> np.ndarray:
    """Unevenness of tissue, blur of the detector, grain of the reconstruction."""
    g = patient.random
    uneven = ndimage.gaussian_filter(g.normal(size=hu.shape).astype(np.float32), (1, 3, 3))
    hu = hu + uneven / (uneven.std() + 1e-9) * 4.0 * (hu > -300)
    hu = ndimage.gaussian_filter(hu, (0.3, 0.6, 0.6))
    if noise_hu:
        grain = ndimage.gaussian_filter(g.normal(size=hu.shape).astype(np.float32), (0, 0.7, 0.7))
        hu = hu + grain / grain.std() * noise_hu
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def save_nifti(values: np.ndarray, affine: np.ndarray, path: Path | str, axes: str = "LPS") -> None:
    """Write an array on the phantom's grid as NIfTI, its axes in any of the 48 orders ("LPS", "RAS", "IPL", ...).

    Raises OutputError where it cannot be written.
    """
    import nibabel as nib

    image = nib.Nifti1Image(values, affine)
    wanted = nib.orientations.axcodes2ornt(tuple(axes))
    now = nib.orientations.io_orientation(affine)
    with replacing(Path(path)) as temporary:
        nib.save(image.as_reoriented(nib.orientations.ornt_transform(now, wanted)), str(temporary))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    add = arguments.add_argument
    add("output", type=Path, help="the CT, .nii or .nii.gz")
    add("--truth", type=Path, metavar="FILE", help="write its labels, too: 1 kidney, 2 tumor, 4 cyst")
    add("--seed", type=int, default=0, metavar="N", help="another number draws another patient (default: 0)")
    add("--shape", type=int, nargs=3, default=(100, 256, 256), metavar="N", help="slices, rows, columns")
    add("--spacing", type=float, nargs=3, default=(3.0, 1.6, 1.6), metavar="MM", help="between them")
    add("--phase", choices=PHASES, default="venous", help="of contrast (default: venous)")
    given = arguments.parse_args()
    for path in (given.output, given.truth):
        if path and not path.name.endswith((".nii", ".nii.gz")):
            arguments.error(f"{path} must end in .nii or .nii.gz.")
    phantom = make(given.seed, tuple(given.shape), tuple(given.spacing), given.phase)
    try:
        save_nifti(phantom.hu, phantom.affine, given.output)
        if given.truth:
            save_nifti(phantom.labels, phantom.affine, given.truth)
    except OutputError as error:
        arguments.error(str(error))


if __name__ == "__main__":
    main()
