"""Texts that come with the module, in a window of their own: many a computer has no program for a .md file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

SIZE = 760, 720  # pixels
# Where the texts stand in the repository; what they point to there does not come with the module.
PLACE = "https://github.com/WPUNetSegment/SlicerWPUNetSegment/blob/main/WPUNetSegment/wpunet/weights/"


def show(address: str) -> Any:
    """Open a window with the file of a ``file:`` address, text or Markdown; the caller keeps what is returned."""
    path = Path(qt.QUrl(address).toLocalFile())
    window = qt.QDialog(slicer.util.mainWindow())
    window.setWindowTitle(_("{name} - WPUNetSegment").format(name=path.name))
    text = qt.QTextBrowser()
    text.setOpenLinks(False)  # it would show nothing where a link leads to another file
    text.connect("anchorClicked(QUrl)", _follow)
    content = path.read_text("utf-8")
    if path.suffix == ".md":
        text.setMarkdown(content)
    else:
        text.setPlainText(content)
    layout = qt.QVBoxLayout()
    layout.addWidget(text)
    window.setLayout(layout)
    window.resize(*SIZE)
    window.show()
    return window


def _follow(link: Any) -> None:
    if not link.toString().startswith("#"):  # Qt knows no places within a Markdown text
        qt.QDesktopServices.openUrl(qt.QUrl(PLACE).resolved(link))
