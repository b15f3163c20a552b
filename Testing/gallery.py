"""Makes all pictures of the documents, with the weights that ship: python -m Testing.gallery

Those of the generated CT, and those of a KiTS19 case where there is one; ``python -m training.download`` fetches
KiTS19. Needs Chromium and what the tests of panel and page need; two to three minutes on two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from Testing.conftest import DATA

ROOT = Path(__file__).resolve().parents[1]
GALLERY, SCREENSHOTS = ROOT / "Resources" / "Gallery", ROOT / "Resources" / "Screenshots"
CASE = DATA / "kits19" / "data" / "case_00166"
LARGEST = 600_000  # bytes of a picture
PHANTOM = ("--seed", "1")
PARTS = ("panel", "page", "preview", "real-panel", "real-page", "real-preview", "real-parenchyma")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--case", type=Path, default=CASE, help="folder of a KiTS19 case")
    arguments.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="make only these")
    given = arguments.parse_args()
    real = given.case / "imaging.nii.gz"
    GALLERY.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for part in given.only:
            if part.startswith("real") and not real.exists():
                print(f"{part}: left as it is; {real} is not here (--case FOLDER names another one)")
                continue
            make(part, real, Path(folder))
            print(f"{part}: made")
    for picture in [*GALLERY.glob("*.png"), *SCREENSHOTS.glob("*.png")]:
        make_small(picture)


def make(part: str, real: Path, folder: Path) -> None:
    if part == "panel":
        run("Testing.widget.pictures")
    elif part == "page":
        run("Testing.view.screenshots")
    elif part == "preview":
        run("wpunet.phantom", folder / "phantom.nii.gz", *PHANTOM)
        preview(folder / "phantom.nii.gz", GALLERY / "phantom-preview.png", folder)
    elif part == "real-panel":
        run("Testing.widget.pictures", "--ct", real, "--into", GALLERY / "kits19-panel.png")
    elif part == "real-page":
        run("Testing.view.screenshots", "--ct", real, "--into", GALLERY / "kits19-page.png")
    elif part == "real-preview":
        preview(real, GALLERY / "kits19-preview.png", folder)
    elif part == "real-parenchyma":
        preview(real, GALLERY / "kits19-parenchyma.png", folder, "--parenchyma")


def run(module: str, *arguments: object) -> None:
    """A program of this project in a process of its own: panel and page each bring their own Slicer."""
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], cwd=ROOT, check=True)


def preview(ct: Path, into: Path, folder: Path, *options: str) -> None:
    run("wpunet", "segment", ct, "-o", folder / "labels.nii.gz", "--preview", folder / "preview.png", *options)
    (folder / "preview.png").replace(into)


def make_small(picture: Path) -> None:
    """Pictures above the limit get 256 colours, which grey slices with few marks do with, then fewer pixels.

    The colours cover all that there are: shared out by how often each is seen, tumor and cyst became one.
    """
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    share = 1.0
    while picture.stat().st_size > LARGEST:
        size = (round(image.width * share), round(image.height * share))
        fewer = image.resize(size, Image.Resampling.LANCZOS).quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2)
        fewer.save(picture, optimize=True)
        share *= 0.9


if __name__ == "__main__":
    main()
