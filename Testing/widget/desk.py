"""What a test does with the panel: clicks, chooses, reads, waits."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtTest import QTest

from .desktop import Desktop
from .engine import Engine

SECONDS = 30.0
LEFT = QtCore.Qt.MouseButton.LeftButton


class Desk:
    """The module's widget on a desktop.

    ui: the widgets as PySide sees them, by their names
    """

    def __init__(self, desktop: Desktop, module: Any, engine: Engine | None, acknowledged: bool = True) -> None:
        from WPUNetSegmentLib import messages

        self.desktop, self.module, self.engine = desktop, module, engine
        messages.acknowledge(acknowledged)
        self.top = desktop.module_window()
        self.widget = module.WPUNetSegmentWidget(self.top)
        if engine is not None:
            logic = module.WPUNetSegmentLogic
            module.WPUNetSegmentLogic = partial(getattr(logic, "func", logic), engine)
        self.widget.setup()
        slicer.util.getModuleWidget = lambda _name: self.widget
        self.ui = _Widgets(self.top._real)
        self.top._real.resize(500, 1200)
        self.top._real.show()
        self.widget.enter()
        desktop.settle()

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def parameters(self) -> Any:
        return self.panel.parameters

    def choose(self, parameter: str, value: Any) -> None:
        """Set a parameter in the scene, as a script or a loaded scene would."""
        setattr(self.parameters, parameter, value)
        self.desktop.settle()

    def click(self, name: str) -> None:
        """A click with the mouse, in the middle; fails on a button that is hidden or disabled."""
        widget = getattr(self.ui, name)
        assert widget.isVisible(), f"{name} is hidden"
        assert widget.isEnabled(), f"{name} is disabled"
        QTest.mouseClick(widget, LEFT)
        self.desktop.settle()

    def open(self, name: str) -> None:
        """Open a section by a click on its heading."""
        section = getattr(self.ui, name)
        if not section.isChecked():
            QTest.mouseClick(section, LEFT, pos=QtCore.QPoint(60, 10))
            self.desktop.settle()

    def segment(self) -> None:
        """Click Segment and wait for the end."""
        self.engine.go()
        self.click("segmentButton")
        self.finish()

    def finish(self) -> None:
        """Let the timer do its work until the run is over."""
        end = time.monotonic() + SECONDS
        while self.panel.run is not None:
            assert time.monotonic() < end, "the run does not end"
            QTest.qWait(20)
            self.desktop.settle()

    def shown(self, name: str) -> bool:
        return not getattr(self.ui, name).isHidden()

    def text(self, name: str) -> str:
        widget = getattr(self.ui, name)
        return widget.toPlainText() if isinstance(widget, QtWidgets.QPlainTextEdit) else widget.text()

    def table(self) -> list[list[str]]:
        """The texts of the results table."""
        widget = self.ui.resultsTable
        return [[widget.item(r, c).text() for c in range(widget.columnCount())] for r in range(widget.rowCount())]

    def row(self, at: int) -> None:
        """A click on a row of the table."""
        widget = self.ui.resultsTable
        QTest.mouseClick(widget.viewport(), LEFT, pos=widget.visualRect(widget.model().index(at, 1)).center())
        self.desktop.settle()


class _Widgets:
    """``ui.segmentButton``."""

    def __init__(self, top: QtWidgets.QWidget) -> None:
        self._top = top

    def __getattr__(self, name: str) -> Any:
        found = self._top.findChild(QtWidgets.QWidget, name)
        if found is None:
            raise AttributeError(f"the panel has no widget {name}")
        return found
