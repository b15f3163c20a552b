"""``make demo``: segments a CT (a generated one unless told otherwise) and says where the results are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wpunet import cli

from Testing import phantom


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ct", type=Path, help="a CT of your own")
    arguments.add_argument("--into", type=Path, default=Path("demo"), help="folder for the results")
    given = arguments.parse_args()
    given.into.mkdir(exist_ok=True)
    ct = given.ct
    if ct is None:
        ct = given.into / "phantom.nii.gz"
        made = phantom.make(seed=1, shape=(120, 384, 384), spacing=(2.5, 1.0, 1.0))
        phantom.save_nifti(made.hu, made.affine, ct)
    into = {"-o": "segmentation.nii.gz", "--report": "report.json", "--preview": "preview.png"}
    files = [part for option, name in into.items() for part in (option, str(given.into / name))]
    return cli.main(["segment", str(ct), *files])


if __name__ == "__main__":
    sys.exit(main())
