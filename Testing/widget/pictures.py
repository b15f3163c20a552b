"""Makes the icons and the pictures of the documentation: python -m Testing.widget.pictures (some minutes).

The panel is the module's own, with stand-ins for Slicer's widgets; the CT is the sample, the result the real engine's.
With ``--ct FILE --into PNG`` it makes only the sheet of the panel, three slices and the surfaces, of another CT.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import icon

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS, ICONS = ROOT / "Resources" / "Screenshots", ROOT / "WPUNetSegment" / "Resources" / "Icons"
WIDTH, HEIGHT, GAP = 480, 660, 6
TILE = 400
WINDOW_HU = (-160, 240)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ct", type=Path, help="a NIfTI file")
    arguments.add_argument("--into", type=Path, help="the PNG of its sheet")
    given = arguments.parse_args()
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if given.ct:
        of_ct(given.ct, given.into)
    else:
        of_sample()


@contextmanager
def panel() -> Iterator[Any]:
    """The panel at its first use."""
    from .desk import Desk
    from .desktop import Desktop

    with tempfile.TemporaryDirectory() as folder:
        desktop = Desktop(Path(folder))
        desk = Desk(desktop, desktop.load_module(), engine=None, acknowledged=False)
        yield desk
        desk.widget.cleanup()
        desktop.close()


def of_ct(file: Path, into: Path) -> None:
    """The sheet of a CT of one's own; its axes are brought to those of the patient, nothing is resampled."""
    with panel() as desk:
        import slicer

        image = nib.as_closest_canonical(nib.load(file))
        hu = np.ascontiguousarray(np.asarray(image.dataobj).T.astype(np.int16))
        name = file.parent.name if file.name.startswith("imaging") else file.name.partition(".")[0]
        ct = slicer.util.addVolumeFromArray(hu, image.affine, name)
        desk.click("acknowledgeButton")
        desk.choose("ct", ct)
        run(desk)
        sheet_of(desk, ct).save(into)


def of_sample() -> None:
    icon.draw(128).save(ICONS / "WPUNetSegment.png")
    with panel() as desk:
        import slicer

        save(desk, "panel-first-use")
        desk.click("acknowledgeButton")
        desk.click("sampleButton")
        ct = desk.parameters.ct
        run(desk, "panel-running")
        save(desk, "panel-result")
        sheet_of(desk, ct).save(SCREENSHOTS / "segmentation.png")
        Views(ct, desk.parameters.segmentation).thumbnail().save(ICONS / "WPUNetPhantom.png")
        for section in ("correctSection", "optionsSection"):
            desk.open(section)
        desk.ui.resultsSection.setProperty("collapsed", True)
        save(desk, "panel-correct-and-options")
        for section in ("correctSection", "optionsSection"):
            getattr(desk.ui, section).setProperty("collapsed", True)
        cut = slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(ct)[:56], matrix_of(ct), "Cut CT")
        desk.choose("segmentation", None)
        desk.choose("ct", cut)
        run(desk)
        save(desk, "panel-warnings")
        blank = slicer.util.addVolumeFromArray(np.full((40, 64, 64), 40, np.int16), matrix_of(ct), "Blank")
        desk.choose("segmentation", None)
        desk.choose("ct", blank)
        run(desk)
        save(desk, "panel-error")


def sheet_of(desk: Any, ct: Any) -> Image.Image:
    """The panel beside slices through the largest tumor, or the first kidney where there is none."""
    found = desk.panel.results.structures
    shown = next((one for one in found if one.kind == "tumor"), found[0])
    return Views(ct, desk.parameters.segmentation).sheet(shown.centre_ras_mm, picture(desk))


def run(desk: Any, running: str = "") -> None:
    """Segment with the real engine; a picture where the bar is past the half."""
    desk.click("segmentButton")
    while desk.panel.run is not None:
        desk.desktop.wait(100)
        if running and desk.ui.progressBar.value() > 400:
            save(desk, running)
            running = ""


def picture(desk: Any) -> Image.Image:
    """The panel as it is now, as high as it needs to be."""
    window = desk.top._real
    for _ in range(3):  # heights of wrapped labels follow the width
        window.resize(WIDTH, max(window.minimumSizeHint().height(), window.layout().heightForWidth(WIDTH)))
        desk.desktop.settle()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.png"
        window.grab().save(str(path))
        return Image.open(path).convert("RGB")


def save(desk: Any, name: str) -> None:
    picture(desk).save(SCREENSHOTS / f"{name}.png", optimize=True)


def matrix_of(ct: Any) -> np.ndarray:
    from WPUNetSegmentLib.handover import ijk_to_ras

    return ijk_to_ras(ct)


class Views:
    """Slices of a CT with the outlines of a segmentation, and its surfaces."""

    def __init__(self, ct: Any, segmentation: Any) -> None:
        import slicer

        self.hu = slicer.util.arrayFromVolume(ct)
        self.ijk_to_ras = matrix_of(ct)
        self.mm = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)[::-1]
        self.segmentation = segmentation
        segments = segmentation.GetSegmentation()
        self.masks = [
            (
                slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, ct) > 0,
                tuple(round(255 * part) for part in segments.GetSegment(key).GetColor()),
            )
            for key in segments.GetSegmentIDs()
        ]
        self.masks = [(mask, colour) for mask, colour in self.masks if mask.any()]

    def sheet(self, ras: tuple[float, float, float], panel: Image.Image) -> Image.Image:
        """The panel beside three slices through a place and the surfaces."""
        i, j, k = (round(float(v)) for v in (np.linalg.inv(self.ijk_to_ras) @ np.append(ras, 1.0))[:3])
        tiles = [
            self._slice(np.s_[k], (1, 2), "axial"),
            self._surfaces(),
            self._slice(np.s_[:, j], (0, 2), "coronal"),
            self._slice(np.s_[:, :, i], (0, 1), "sagittal"),
        ]
        height = max(panel.height, 2 * TILE + GAP)
        sheet = Image.new("RGB", (panel.width + 2 * (TILE + GAP), height), (238, 238, 238))
        sheet.paste(panel, (0, 0))
        for number, tile in enumerate(tiles):
            across, down = number % 2, number // 2
            sheet.paste(tile, (panel.width + GAP + across * (TILE + GAP), down * (TILE + GAP)))
        return sheet

    def thumbnail(self) -> Image.Image:
        middle = self.masks[-1][0].any((1, 2)).nonzero()[0].mean()
        return self._slice(np.s_[round(float(middle))], (1, 2), "").resize((128, 128), Image.Resampling.LANCZOS)

    def _slice(self, at: Any, axes: tuple[int, int], title: str) -> Image.Image:
        """One slice, as a radiologist looks at it: the patient's right on the left, the head above."""
        hu = self.hu[at]
        size = [round(n * self.mm[axis]) for n, axis in zip(hu.shape, axes, strict=True)]
        scale = TILE / max(size)
        shape = (max(1, round(size[1] * scale)), max(1, round(size[0] * scale)))
        low, high = WINDOW_HU
        grey = Image.fromarray(np.clip((hu.astype(float) - low) / (high - low) * 255, 0, 255).astype(np.uint8))
        tile = np.asarray(grey.resize(shape, Image.Resampling.BICUBIC).convert("RGB"), float).copy()
        for mask, colour in self.masks:
            _outline(tile, mask[at], shape, colour)
        # An index of the sample runs from head to feet, from front to back, from right to left.
        flip = [np.sign(self.ijk_to_ras[:3, 2 - axis].sum()) > 0 for axis in axes]
        for axis, flipped in enumerate(flip):
            tile = np.flip(tile, axis) if flipped else tile
        page = Image.new("RGB", (TILE, TILE), (0, 0, 0))
        page.paste(Image.fromarray(tile.astype(np.uint8)), ((TILE - shape[0]) // 2, (TILE - shape[1]) // 2))
        ImageDraw.Draw(page).text((8, 6), title, (230, 230, 230), ImageFont.load_default(15))
        return page

    def _surfaces(self) -> Image.Image:
        """The segments' surfaces from the front, as Slicer's 3D view shows them."""
        import vtk

        self.segmentation.CreateClosedSurfaceRepresentation()
        renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        renderer.SetBackground(0.46, 0.49, 0.73)
        renderer.SetBackground2(0.76, 0.76, 0.91)
        renderer.GradientBackgroundOn()
        segments = self.segmentation.GetSegmentation()
        inside_out = bool(np.linalg.det(self.ijk_to_ras[:3, :3]) < 0)  # Slicer's surfaces on a left-handed grid
        for key in segments.GetSegmentIDs():
            mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
            mapper.SetInputData(self.segmentation.GetClosedSurfaceInternalRepresentation(key))
            mapper.ScalarVisibilityOff()
            actor.SetMapper(mapper)
            actor.GetProperty().SetColor(segments.GetSegment(key).GetColor())
            actor.GetProperty().SetOpacity(self.segmentation.GetDisplayNode().GetSegmentOpacity3D(key))
            # Only what faces outwards, else the wall of a tumor's bed is mixed with the tumor
            actor.GetProperty().SetBackfaceCulling(not inside_out)
            actor.GetProperty().SetFrontfaceCulling(inside_out)
            renderer.AddActor(actor)
        window.SetOffScreenRendering(1)
        window.SetMultiSamples(0)  # which translucent surfaces in their true order need
        window.SetAlphaBitPlanes(1)
        renderer.SetUseDepthPeeling(True)
        window.SetSize(TILE, TILE)
        window.AddRenderer(renderer)
        camera = renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(0, 1, 0)  # from the front: A grows there
        camera.SetViewUp(0, 0, 1)
        renderer.ResetCamera()
        window.Render()
        grabbed = vtk.vtkWindowToImageFilter()
        grabbed.SetInput(window)
        grabbed.Update()
        from vtk.util.numpy_support import vtk_to_numpy

        pixels = vtk_to_numpy(grabbed.GetOutput().GetPointData().GetScalars()).reshape(TILE, TILE, 3)
        return Image.fromarray(np.ascontiguousarray(pixels[::-1]))


def _outline(tile: np.ndarray, mask: np.ndarray, shape: tuple[int, int], colour: tuple[int, ...]) -> None:
    """Colour the outline fully and the inside lightly, as Slicer does."""
    from scipy import ndimage

    large = np.asarray(Image.fromarray((mask * 255).astype(np.uint8)).resize(shape, Image.Resampling.BILINEAR)) > 127
    weight = np.where(large, 0.3, 0.0)
    weight[large & ~ndimage.binary_erosion(large, iterations=2)] = 1.0
    tile += (np.asarray(colour, float) - tile) * weight[..., None]


if __name__ == "__main__":
    main()
