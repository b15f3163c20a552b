"""Whether two versions of the engine give the same segmentations: python -m Testing.equal BEFORE CT [CT ...] [OPTIONS]

BEFORE is another checkout of this repository (git worktree add ../before COMMIT). Both segment the CTs with the same
weights and the further options, those of ``wpunet segment``, and the label maps are compared. Exit status 1 where a
Dice is below 0.999. The network's grid begins at the region's border, and where the search for the kidneys differs, so
does the grid: with --full both look at the whole field of view. With --skip-rule all both tell what the network says.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from wpunet import bundle, files
from wpunet.labels import TUMOR

LEAST = 0.999
RUN = "import sys; sys.path[:0] = sys.argv[1:3]; del sys.argv[1:3]; import wpunet.__main__ as main; main.run()"
HERE = Path(__file__).resolve().parents[1]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("before", type=Path, help="another checkout")
    arguments.add_argument("ct", type=Path, nargs="+")
    arguments.add_argument("--weights", type=Path, default=bundle.BUNDLED)
    arguments.add_argument(
        "--output", type=Path, help="folder that keeps both label maps; those already there are used"
    )
    given, options = arguments.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        into = given.output or Path(folder)
        into.mkdir(parents=True, exist_ok=True)
        for name, checkout in (("before", given.before), ("after", HERE)):
            segment_all(checkout, given.ct, given.weights, into / name, options)
        print(
            "| CT | kidney or tumor, Dice | tumor, Dice | voxels that differ | kidney or tumor, voxels |",
            "|---" * 5 + "|",
            sep="\n",
        )
        least = min(compare(path, into / "after" / path.name) for path in sorted((into / "before").glob("*.nii.gz")))
    print(f"least Dice: {least:.5f}")
    return int(least < LEAST)


def segment_all(checkout: Path, cts: list[Path], weights: Path, into: Path, options: list[str]) -> None:
    """The label maps of all CTs by the engine of ``checkout``; what is in ``into`` already is left as it is."""
    into.mkdir(exist_ok=True)
    command = ["segment", *map(str, cts), "-o", str(into), "--weights", str(weights), "--sides", "--progress", "none"]
    first = [str(checkout / "WPUNetSegment"), str(checkout)]
    subprocess.run([sys.executable, "-c", RUN, *first, *command, *options], check=True, stdout=subprocess.DEVNULL)


def compare(before: Path, after: Path) -> float:
    """Print one CT's row; the lesser of both Dice, 1 where neither holds anything."""
    one, other = (files.read(path).hu for path in (before, after))
    foreground, tumor = dice(one > 0, other > 0), dice(one == TUMOR, other == TUMOR)
    name, differ = before.name.removesuffix(".nii.gz"), np.count_nonzero(one != other)
    print(f"| {name} | {foreground:.5f} | {tumor:.5f} | {differ} | {np.count_nonzero(one)} |")
    return min(foreground, tumor)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    together = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / together if together else 1.0


if __name__ == "__main__":
    sys.exit(main())
