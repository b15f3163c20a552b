"""A desktop for each test, the module in it, and an engine that does as it is told."""

from __future__ import annotations

import os

import pytest

from Testing.slicer.core import AVAILABLE, MISSING

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if not AVAILABLE:
    pytest.skip(MISSING, allow_module_level=True)


@pytest.fixture
def desktop(tmp_path):
    """Slicer's scene, Qt in PythonQt's manner, and the application's dialogs."""
    from .desktop import Desktop

    running = Desktop(tmp_path)
    yield running
    running.close()


@pytest.fixture
def module(desktop):
    """The file WPUNetSegment.py, loaded as Slicer loads it."""
    return desktop.load_module()
