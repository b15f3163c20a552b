"""The results table: one row for each kidney, tumor and cyst, on the panel, on the clipboard and as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _
from wpunet.labels import CYST_LABEL, LEFT_KIDNEY_LABEL, RIGHT_KIDNEY_LABEL, TUMOR_LABEL, Label
from wpunet.structure import Structure

SWATCH = 14  # pixels
MOST_ROWS = 12


def label_of(one: Structure) -> Label:
    """Name and colour of the segment that a structure belongs to."""
    if one.kind in ("tumor", "cyst"):
        return TUMOR_LABEL if one.kind == "tumor" else CYST_LABEL
    return LEFT_KIDNEY_LABEL if one.side == "left" else RIGHT_KIDNEY_LABEL


def shown_name(one: Structure) -> str:
    """With a question mark in front where something speaks against it."""
    return f"? {one.name}" if one.doubts else one.name


def cells(one: Structure) -> list[str]:
    """Volume, length (of a lesion the largest diameter), mean HU and certainty; of what is cut the least."""
    more = "> " if one.touches_border else ""
    certainty = "–" if one.certainty is None else f"{one.certainty:.0%}"
    return [f"{more}{one.volume_ml:.1f}", f"{more}{one.size.mm:.0f}", f"{round(one.mean_hu)}", certainty]


def as_text(structures: Sequence[Structure]) -> str:
    """Tab-separated, for a report or a spreadsheet: numbers as other programs on this computer write them.

    A German Excel takes 12.5 for a day in May. Slicer itself writes points everywhere, its tables too.
    """
    mark = qt.QLocale.system().decimalPoint()
    mark = chr(mark) if isinstance(mark, int) else str(mark)  # Slicer's Qt 5 gives a number
    heads = [heading.replace("\n", " ") for heading in (_("Structure"), *headings())]
    lines = [heads, *([shown_name(one), *(cell.replace(".", mark) for cell in cells(one))] for one in structures)]
    return "\n".join("\t".join(line) for line in lines) + "\n"


def headings() -> list[str]:
    """Of the columns after the name."""
    return [_("Volume\n(ml)"), _("Length\n(mm)"), _("Mean\nHU"), _("Certainty")]


class ResultsTable:
    """Fills the panel's table and says which row is chosen."""

    def __init__(self, widget: Any, chosen: Callable[[Structure], None]) -> None:
        self.structures: list[Structure] = []
        self._widget, self._chosen = widget, chosen
        widget.setColumnCount(5)
        widget.setHorizontalHeaderLabels([_("Structure"), *headings()])
        widget.verticalHeader().hide()
        widget.horizontalHeader().setStretchLastSection(False)
        widget.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        widget.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        widget.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        # Qt makes rows as high as their words after this, at the first result when the table is shown
        self._fitting = qt.QTimer(widget)
        self._fitting.setSingleShot(True)
        self._fitting.connect("timeout()", self._fit)
        widget.verticalHeader().connect("sectionResized(int,int,int)", lambda: self._fitting.start())
        widget.connect("cellClicked(int,int)", self._at)
        widget.connect("cellActivated(int,int)", self._at)  # the Enter key

    def show(self, structures: Sequence[Structure]) -> None:
        """One row for each structure, in the order given."""
        self.structures = list(structures)
        self._widget.setRowCount(len(self.structures))
        for row, one in enumerate(self.structures):
            label = label_of(one)
            first = qt.QTableWidgetItem(swatch(label), shown_name(one))
            first.setToolTip(_("{name}: click to show it in all slice views").format(name=one.name))
            self._widget.setItem(row, 0, first)
            for column, text in enumerate(cells(one), 1):
                item = qt.QTableWidgetItem(text)
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                if one.touches_border and column < 3:
                    item.setToolTip(_("Cut by the edge of the scan: a lower bound."))
                self._widget.setItem(row, column, item)
        self._fit()

    def _fit(self) -> None:
        """As high as its rows, so that nothing scrolls within the panel but a very long table."""
        rows = self._widget.verticalHeader()
        heights = [rows.sectionSize(row) for row in range(min(len(self.structures), MOST_ROWS))]
        self._widget.setFixedHeight(self._widget.horizontalHeader().sizeHint.height() + max(sum(heights), 24) + 4)

    def _at(self, row: int, _column: int) -> None:
        self._chosen(self.structures[row])


def swatch(label: Label) -> Any:
    """An icon in the segment's colour; tumors are striped, so that nobody has to tell red from green."""
    pixmap = qt.QPixmap(SWATCH, SWATCH)
    pixmap.fill(qt.QColor(*label.colour))
    if label is TUMOR_LABEL:
        painter = qt.QPainter(pixmap)
        painter.fillRect(0, 0, SWATCH, SWATCH, qt.QBrush(qt.QColor(255, 255, 255), qt.Qt.BDiagPattern))
        painter.end()
    return qt.QIcon(pixmap)
