"""``make demo``: segments a CT (a generated one unless told otherwise), says where the results are, opens the page."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from wpunet import cli, folders
from wpunet.errors import InputError
from wpunet_view import needs

from Testing import phantom


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ct", type=Path, help="a CT of your own")
    arguments.add_argument("--into", type=Path, default=Path("demo"), help="folder for the results")
    arguments.add_argument("--no-view", dest="view", action="store_false", help="write files only, open no page")
    given = arguments.parse_args()
    try:
        several = given.ct is not None and len(folders.survey(given.ct).cts) > 1
    except InputError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    given.into.mkdir(exist_ok=True)
    ct = given.ct
    if ct is None:
        ct = given.into / "phantom.nii.gz"
        made = phantom.make(seed=1, shape=(120, 384, 384), spacing=(2.5, 1.0, 1.0))
        phantom.save_nifti(made.hu, made.affine, ct)
    status = cli.main(["segment", str(ct), *outputs(given.into, several)])
    if status or not given.view:
        return status
    if reason := why_no_page():
        print(f"No page was opened: {reason}")
        return 0
    return cli.main(["view", str(ct), "--segment"])


def outputs(into: Path, several: bool) -> list[str]:
    """Where the results go: a folder for several CTs, named files for one."""
    if several:
        return ["-o", str(into)]
    names = {"-o": "segmentation.nii.gz", "--report": "report.json", "--preview": "preview.png"}
    return [part for option, name in names.items() for part in (option, str(into / name))]


def why_no_page() -> str:
    """What stands between this machine and a page in its browser; empty if nothing does."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display here ('wpunet view --no-browser' prints an address for a browser elsewhere)."
    try:
        webbrowser.get()
        needs.require()
    except webbrowser.Error:
        return "no browser was found."
    except InputError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
