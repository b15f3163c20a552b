"""Everything on the panel can be reached by Tab and Alt: what the .ui file cannot say of Slicer's node selectors."""

from __future__ import annotations

from typing import Any

import qt

# In the order of the Tab key, as in the .ui file; each selector with its label and what comes before and after it.
SELECTORS = (
    ("ctSelector", "ctLabel", "acknowledgeButton", "segmentationSelector"),
    ("segmentationSelector", "segmentationLabel", "ctSelector", "segmentButton"),
    ("regionSelector", "regionLabel", "deviceBox", "minTumorBox"),
)


def reach(ui: Any) -> None:
    """Let Tab and the labels' letters go to the list inside each selector.

    A qMRMLNodeComboBox takes no focus itself, and is the focus proxy of the list in it: both ways end nowhere.
    """
    lists = {name: getattr(ui, name).findChildren(qt.QComboBox)[0] for name, *_ in SELECTORS}
    for name, label, _before, _after in SELECTORS:
        inner, selector = lists[name], getattr(ui, name)
        inner.setFocusProxy(None)
        inner.setFocusPolicy(qt.Qt.StrongFocus)
        inner.setAccessibleName(selector.accessibleName)
        selector.setFocusProxy(inner)
        getattr(ui, label).setBuddy(inner)
    for name, _label, before, after in SELECTORS:
        qt.QWidget.setTabOrder(lists.get(before, getattr(ui, before)), lists[name])
        qt.QWidget.setTabOrder(lists[name], lists.get(after, getattr(ui, after)))
