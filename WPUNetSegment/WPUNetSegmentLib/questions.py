"""What the user is asked before anything of his is changed; each gives whether he said yes."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _


def replace(changed: list[str]) -> bool:
    """Segments that somebody corrected are not replaced without a question."""
    return slicer.util.confirmYesNoDisplay(
        _(
            "Changed by hand since the last run: {names}.\n\nReplace these changes? "
            "With No they stay, and the result goes into a new segmentation."
        ).format(names=", ".join(changed))
    )


def undo(changed: list[str]) -> bool:
    """An undone run takes what was changed since with it."""
    return slicer.util.confirmYesNoDisplay(
        _(
            "Changed by hand since the last run: {names}.\n\nUndo the run and lose these changes? "
            "The Undo button of the Segment Editor takes back single changes."
        ).format(names=", ".join(changed))
    )


def put_into(segmentation: Any, ct: Any) -> bool:
    """The selector may have turned to another segmentation by itself, when the one before was deleted."""
    return slicer.util.confirmYesNoDisplay(
        _(
            "{segmentation} belongs to another CT than {ct}.\n\nPut the result there all the same? "
            "With No it goes into a new segmentation."
        ).format(segmentation=segmentation.GetName(), ct=ct.GetName())
    )


def harden(ct: Any) -> bool:
    """A CT that a transform stretches or bends is resampled with it."""
    return slicer.util.confirmOkCancelDisplay(
        _(
            "{ct} lies under the transform {transform}, which stretches, bends or mirrors it. Slicer makes such a "
            "one for DICOM slices that are tilted or not evenly spaced. Without it measures would be wrong.\n\n"
            "Harden the transform? The CT in the scene is resampled with it; its file stays as it is."
        ).format(ct=ct.GetName(), transform=ct.GetParentTransformNode().GetName())
    )
