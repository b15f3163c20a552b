"""The results table: one row for each kidney, tumor and cyst, on the panel, on the clipboard and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _
from wpunet.labels import CYST_LABEL, LEFT_KIDNEY_LABEL, RIGHT_KIDNEY_LABEL, TUMOR_LABEL, Label
from wpunet.measure import Structure, names

SWATCH = 14  # pixels
MOST_ROWS = 12
CSV_COLUMNS = (
    *("case", "structure", "kind", "side", "volume_ml", "axial_diameter_mm", "mean_hu", "sd_hu", "certainty"),
    *("touches_border", "centre_r_mm", "centre_a_mm", "centre_s_mm"),
)


def structures_from(report: dict[str, Any]) -> list[Structure]:
    """What the engine measured, from its report as JSON."""
    structures = []
    for one in report["structures"]:
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in one.items()}
        structures.append(Structure(**values))
    return structures


def label_of(one: Structure) -> Label:
    """Name and colour of the segment that a structure belongs to."""
    if one.kind in ("tumor", "cyst"):
        return TUMOR_LABEL if one.kind == "tumor" else CYST_LABEL
    return LEFT_KIDNEY_LABEL if one.side == "left" else RIGHT_KIDNEY_LABEL


def cells(one: Structure) -> list[str]:
    """Volume, diameter, mean HU and certainty as a reader sees them; of a cut structure the least they can be."""
    more = "> " if one.touches_border else ""
    certainty = "–" if one.certainty is None else f"{one.certainty:.0%}"
    return [f"{more}{one.volume_ml:.1f}", f"{more}{one.axial_diameter_mm:.0f}", f"{one.mean_hu:.0f}", certainty]


def as_text(structures: Sequence[Structure]) -> str:
    """Tab-separated, for a report or a spreadsheet."""
    heads = [heading.replace("\n", " ") for heading in (_("Structure"), *headings())]
    lines = [heads, *([name, *cells(one)] for name, one in zip(names(structures), structures))]
    return "\n".join("\t".join(line) for line in lines) + "\n"


def as_csv(structures: Sequence[Structure], case: str) -> str:
    """Comma-separated with plain numbers and one fixed heading, for programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for name, one in zip(names(structures), structures):
        numbers = (one.volume_ml, one.axial_diameter_mm, one.mean_hu, one.sd_hu)
        certainty = "" if one.certainty is None else f"{one.certainty:.3f}"
        centre = [f"{mm:.1f}" for mm in one.centre_ras_mm]
        plain = [f"{number:.2f}" for number in numbers]
        writer.writerow([case, name, one.kind, one.side, *plain, certainty, int(one.touches_border), *centre])
    return text.getvalue()


def headings() -> list[str]:
    """Of the columns after the name."""
    return [_("Volume\n(ml)"), _("Diameter\n(mm)"), _("Mean\nHU"), _("Certainty")]


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
        widget.connect("cellClicked(int,int)", self._at)
        widget.connect("cellActivated(int,int)", self._at)  # the Enter key

    def show(self, structures: Sequence[Structure]) -> None:
        """One row for each structure, in the order given."""
        self.structures = list(structures)
        self._widget.setRowCount(len(self.structures))
        for row, (name, one) in enumerate(zip(names(self.structures), self.structures)):
            label = label_of(one)
            first = qt.QTableWidgetItem(swatch(label), name)
            first.setToolTip(_("{name}: click to show it in all slice views").format(name=name))
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
