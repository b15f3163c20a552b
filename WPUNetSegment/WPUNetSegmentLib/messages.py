"""Words and looks of what the panel tells: the licence, warnings, errors, what was found."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
import wpunet
from slicer.i18n import tr as _
from wpunet import runtime
from wpunet.structure import Structure

from . import handover, install

MODEL_CARD = Path(wpunet.__file__).parent / "weights" / "MODEL_CARD.md"
LICENCE = Path(wpunet.__file__).parent / "weights" / "LICENSE"
SETTINGS = "WPUNetSegment"
WEIGHTS_LICENCE = "CC BY-NC-SA 4.0"
ACKNOWLEDGED = f"{SETTINGS}/Acknowledged"  # holds WEIGHTS_LICENCE, so that another licence is asked for again
CASES_FOLDER = f"{SETTINGS}/TrainingCases"

# Dark words on a light ground, with a bar: the same in Slicer's light and dark style.
BOX = "QFrame#{name} {{ background: {ground}; border: 0; border-left: 5px solid {bar}; }} QLabel {{ color: #201a08; }}"
ON_LIGHT = "color: #174a8c"  # of links in such a box; elsewhere they have Slicer's own colour
LOOKS = {
    "welcomeFrame": ("#e8f0fa", "#2f6db5"),
    "warningFrame": ("#fff3cd", "#c98a00"),
    "errorFrame": ("#fbe3e1", "#b3261e"),
}


@contextmanager
def busy() -> Iterator[None]:
    """The pointer shows that Slicer is at work and answers nothing for seconds."""
    slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
    try:
        yield
    finally:
        slicer.app.restoreOverrideCursor()


def style(frame: Any) -> None:
    """Give one of the panel's three boxes its looks."""
    ground, bar = LOOKS[frame.name]
    frame.setStyleSheet(BOX.format(name=frame.name, ground=ground, bar=bar))


def link(path: Path, text: str, style: str = "") -> str:
    return f'<a href="{path.as_uri()}" style="{style}">{text}</a>'


def welcome() -> str:
    return _(
        "<b>For research only: not a medical device.</b> Do not use it to decide on a patient.<br>"
        "The network was trained on KiTS19 and KiTS23, so its weights are for non-commercial use only ({licence}). "
        "{card} says what it was trained and tested on. Nothing leaves this computer."
    ).format(licence=link(LICENCE, WEIGHTS_LICENCE, ON_LIGHT), card=link(MODEL_CARD, _("The model card"), ON_LIGHT))


def footer() -> str:
    return _("For research only · Weights: {licence} · {card}").format(
        licence=link(LICENCE, WEIGHTS_LICENCE), card=link(MODEL_CARD, _("Model card"))
    )


def acknowledged() -> bool:
    """Whether the user has read the licence of these very weights."""
    return slicer.util.settingsValue(ACKNOWLEDGED, "") == WEIGHTS_LICENCE


def acknowledge(yes: bool = True) -> None:
    qt.QSettings().setValue(ACKNOWLEDGED, WEIGHTS_LICENCE if yes else "")


def warnings_html(warnings: Sequence[str]) -> str:
    """One line each, marked by a sign and not by colour alone."""
    return "<br>".join(f"<b>⚠</b>&nbsp;{escape(warning)}" for warning in warnings)


def error_text(text: str) -> str:
    return f"✖ {text}"


@cache
def _driver() -> bool:
    """Asked once: it takes a moment, and no driver comes while Slicer runs."""
    return runtime.gpu_driver()


def gpu_possible() -> bool:
    """Whether a graphics card might be used: there is a driver, and PyTorch. Nothing heavy is imported to find out."""
    return _driver() and importlib.util.find_spec("torch") is not None


def devices() -> list[tuple[str, str]]:
    """What the entries of the device list are called, in the order of ``parameters.DEVICES``, and why one is off."""
    gpu, apple = gpu_possible(), sys.platform == "darwin"
    automatic = _("Automatic (graphics card)") if gpu else _("Automatic (processor; no graphics card found)")
    entries = [(automatic, ""), (_("Processor"), "")]
    kinds = ((_("Graphics card, NVIDIA"), "cuda", gpu and not apple), (_("Graphics card, Apple"), "mps", gpu and apple))
    for name, kind, here in kinds:
        why = install.no_gpu(kind)
        note = _("not on this computer") if why else "" if here else _("not found")
        entries.append((f"{name} ({note})" if note else name, why))
    return entries


def hint(running: bool) -> str:
    """What a click on the button does."""
    if running:
        return _("Stops the segmentation; the scene stays as it was.")
    return _("Finds kidneys, kidney tumors and cysts in the CT.")


def timing(seconds: dict[str, float]) -> str:
    return ", ".join(f"{part} {value:.1f} s" for part, value in seconds.items())


def found(structures: Sequence[Structure], seconds: float) -> str:
    """What a run came to, in one line."""
    count = Counter(one.kind for one in structures)
    told = _("Done in {seconds:.0f} s. Kidneys: {kidneys}, tumors: {tumors}").format(
        seconds=seconds, kidneys=count["kidney"], tumors=count["tumor"]
    )
    return told + (_(", cysts: {cysts}.").format(cysts=count["cyst"]) if count["cyst"] else ".")


def frame(which: tuple[int, int] | None) -> str:
    """Of a sequence: which frame, and of how many; "" for None."""
    return _("frame {number} of {count}").format(number=which[0], count=which[1]) if which else ""


def results(case: str) -> str:
    """Heading of the results of a CT with such a name; of a sequence with the frame that they are of."""
    of = frame(handover.frame_in(case))
    return _("Results of {frame}").format(frame=of) if of else _("Results")


def left_out(names: Sequence[str]) -> str:
    """Of segments that nobody said to be anything that is measured, as those that the Segment Editor splits off."""
    if not names:
        return ""
    return _(
        "Left out: {names}. By terminology and id that is neither kidney, nor tumor or cyst of one. To count it, "
        "double-click on its colour in the section Correct and choose what it is."
    ).format(names=", ".join(names))


def last_folder() -> str:
    """Where the last training case was saved, or ""."""
    return str(slicer.util.settingsValue(CASES_FOLDER, ""))


def remember_folder(folder: str) -> None:
    qt.QSettings().setValue(CASES_FOLDER, folder)


def about() -> str:
    """First line of a copied log."""
    return f"WPUNetSegment {wpunet.__version__}, Python {platform.python_version()}, {platform.platform()}"
