"""Texts that come with the module, in a window of their own: many a computer has no program for a .md file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

SIZE = 760, 720  # pixels


def show(address: str) -> Any:
    """Open a window with the file of a ``file:`` address, text or Markdown; the caller keeps what is returned."""
    path = Path(qt.QUrl(address).toLocalFile())
    window = qt.QDialog(slicer.util.mainWindow())
    window.setWindowTitle(_("{name} - WPUNetSegment").format(name=path.name))
    text = qt.QTextBrowser()
    text.setOpenExternalLinks(True)
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
