"""The parts of the desktop application that the module touches: what it imports, and what it asks the user.

``Desktop`` puts ``qt``, ``ctk`` and Slicer's own Python modules, stand-ins or the real ones, where the module imports
them from, and takes them away again. What VTK only prints, an error in an observer of the scene, is kept for
``raise_errors`` too. Questions are answered from ``answers``; one that nobody expected fails the test. The scene is
slicer-core's own.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets
from PySide6.QtTest import QTest

from Testing.slicer import core
from Testing.slicer.sources import SOURCE

from . import loader, real_sources, scripted_modules
from .pythonqt import Proxy, Qt, keep_error, proxy_class, raise_errors, wrap
from .stand_ins import TABLE, stand_in

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "WPUNetSegment" / "WPUNetSegment.py"
NAME = "WPUNetSegment"
NAMES = ("qt", "ctk", "SampleData", "slicer.i18n", "slicer.ScriptedLoadableModule", "slicer.parameterNodeWrapper")
SLICERS_OWN = ("i18n", "packaging", "parameterNodeWrapper", "ScriptedLoadableModule")


class Desktop:
    """A running Slicer for one test, with an empty scene.

    answers:  what the user will answer, in order: True or False to a question, a path to a file dialog
    asked:    what the module asked or told in dialogs
    opened:   addresses given to the browser
    at_start: what waits for the end of Slicer's start
    """

    def __init__(self, folder: Path) -> None:
        self.answers: list[Any] = []
        self.asked: list[str] = []
        self.opened: list[str] = []
        self.at_start: list[Any] = []
        self.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
        self.application.setStyle("Fusion")
        self._hook, sys.excepthook = sys.excepthook, lambda _type, error, _traceback: keep_error(error)
        core.start(folder)
        self._kept = {name: sys.modules.get(name) for name in (*NAMES, *real_sources.FILES)}
        self._isolate_settings(folder)
        self._kept_slicer = {name: getattr(slicer, name, None) for name in (*self._globals(), *SLICERS_OWN)}
        for name, value in self._globals().items():
            setattr(slicer, name, value)
        self._kept_util = {name: getattr(slicer.util, name) for name in self._util()}
        for name, value in self._util().items():
            setattr(slicer.util, name, value)
        slicer.app.clipboard = lambda: wrap(self.application.clipboard())
        slicer.app.moduleManager = lambda: types.SimpleNamespace(connect=lambda *_: True, disconnect=lambda *_: True)
        slicer.app.layoutManager = lambda: None
        slicer.app.setOverrideCursor = lambda shape: self.application.setOverrideCursor(shape)
        slicer.app.restoreOverrideCursor = lambda: self.application.restoreOverrideCursor()
        slicer.app.translate = self.translate
        slicer.app.testingEnabled = lambda: False
        slicer.app.connect = self._startup
        sys.modules.update(self._qt())
        sys.modules.update(real_sources.load(SOURCE) if SOURCE else scripted_modules.modules())

    def _startup(self, signal: str, slot: Any) -> bool:
        """The module asks to be told when all modules are there; ``start_up`` tells it."""
        assert signal == "startupCompleted()"
        self.at_start.append(slot)
        return True

    def _isolate_settings(self, folder: Path) -> None:
        for kind in (QtCore.QSettings.Format.NativeFormat, QtCore.QSettings.Format.IniFormat):
            QtCore.QSettings.setPath(kind, QtCore.QSettings.Scope.UserScope, str(folder / "settings"))
        QtCore.QCoreApplication.setOrganizationName("Testing")
        QtCore.QCoreApplication.setApplicationName(folder.name)

    @staticmethod
    def translate(_context: str, text: str) -> str:
        """A text in the language of the application."""
        return text

    def _qt(self) -> dict[str, Any]:
        qt = Qt()
        shown = types.SimpleNamespace(
            **{name: self._dialog(name) for name in ("getSaveFileName", "getExistingDirectory")}
        )
        qt.QFileDialog = shown
        qt.QDesktopServices = types.SimpleNamespace(openUrl=lambda url: self.opened.append(url.toString()))
        stand_ins = {name: stand_in(name) for name in TABLE if name.startswith("ctk")}
        return {"qt": qt, "ctk": Qt({**_others("ctk"), **stand_ins})}

    def _globals(self) -> dict[str, Any]:
        widgets = {name: proxy_class(stand_in(name)) for name in TABLE if name.startswith("qMRML")}
        return {**_others("slicer"), **widgets, "selfTests": {}}

    def _util(self) -> dict[str, Any]:
        def load(path: str) -> Proxy:
            return wrap(loader.load(path))

        return {
            "loadUI": load,
            "confirmYesNoDisplay": self._question,
            "confirmOkCancelDisplay": self._question,
            "errorDisplay": self._told,
            "infoDisplay": self._told,
            "warningDisplay": self._told,
            "mainWindow": lambda: None,
            "getModuleWidget": lambda _name: None,
            "modulePath": lambda _name: str(MODULE),
            "resetSliceViews": lambda: None,
        }

    def _question(self, text: str, *_: Any, **__: Any) -> Any:
        self.asked.append(text)
        if not self.answers:
            raise AssertionError(f"nobody expected the question: {text}")
        return self.answers.pop(0)

    def _told(self, text: str, *_: Any, **__: Any) -> None:
        self.asked.append(text)

    def _dialog(self, name: str) -> Any:
        return lambda _parent, title, *_: str(self._question(title))

    def load_module(self) -> Any:
        """``WPUNetSegment.py`` as Slicer imports it, from its path, with its own folder on Python's path."""
        specification = importlib.util.spec_from_file_location(NAME, MODULE)
        module = importlib.util.module_from_spec(specification)
        sys.modules[NAME] = module
        specification.loader.exec_module(module)
        return module

    def module_window(self) -> Proxy:
        """What Slicer gives a module's widget as its parent: a widget with a layout and the scene."""
        window = slicer.qMRMLWidget()
        window.setLayout(sys.modules["qt"].QVBoxLayout())
        window.setMRMLScene(slicer.mrmlScene)
        return window

    def settle(self) -> None:
        """Let Qt do what is due; raises what went wrong in a slot."""
        self.application.processEvents()
        self.application.processEvents()
        raise_errors()

    def wait(self, ms: int) -> None:
        """Let time pass, and timers do their work."""
        QTest.qWait(ms)
        raise_errors()

    def close(self) -> None:
        """Take all of it away again; raises what went wrong in a slot or in an observer of the scene."""
        sys.excepthook = self._hook
        mine = (NAME, f"{NAME}Lib", "slicer.parameterNodeWrapper.")
        for name in [n for n in sys.modules if n.startswith(mine)]:
            del sys.modules[name]
        for name, module in self._kept.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
        for name, value in self._kept_slicer.items():
            if value is not None:
                setattr(slicer, name, value)
            elif hasattr(slicer, name):
                delattr(slicer, name)
        for name, value in self._kept_util.items():
            setattr(slicer.util, name, value)
        raise_errors()


def _others(library: str) -> dict[str, type]:
    """Empty classes for widgets that Slicer's own Python names and the panel does not use."""
    names = real_sources.classes(SOURCE, library) if SOURCE else set()
    return {name: type(name, (), {}) for name in names - set(TABLE)}
