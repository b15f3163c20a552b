"""Everybody can use the panel: by keyboard, by screen reader, in another language; and the code uses what is there."""

from __future__ import annotations

import ast
import re
import types
import xml.etree.ElementTree as ET

import pytest
import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtTest import QTest

from .desktop import MODULE
from .stand_ins import TABLE

UI = MODULE.parent / "Resources" / "UI" / "WPUNetSegment.ui"
LIBRARY = MODULE.parent / "WPUNetSegmentLib"
FOCUSABLE = ("QPushButton", "QComboBox", "QCheckBox", "QDoubleSpinBox", "QTableWidget", "QPlainTextEdit")
SLICERS_MENUS = set("FEVH")  # File, Edit, View, Help


@pytest.fixture(scope="module")
def widgets():
    """The elements of the .ui file by name."""
    return {widget.get("name"): widget for widget in ET.parse(UI).getroot().iter("widget")}


def value(widget, name):
    for element in widget.findall("property"):
        if element.get("name") == name:
            return "".join(element.itertext()).strip()
    return ""


def test_each_mnemonic_is_used_once_and_not_by_slicers_menus(widgets):
    texts = [value(widget, "text") for widget in widgets.values()]
    letters = [letter.upper() for text in texts for letter in re.findall("&([^&])", text)]
    assert len(letters) > 10
    assert len(set(letters)) == len(letters), sorted(letters)
    assert not SLICERS_MENUS & set(letters)


def test_everything_can_be_reached_by_the_tab_key(widgets):
    stops = [stop.text for stop in ET.parse(UI).getroot().iter("tabstop")]
    for name, widget in widgets.items():
        if widget.get("class") in FOCUSABLE or widget.get("class") in ("qMRMLNodeComboBox",):
            assert name in stops, name


def test_everything_has_a_name_that_can_be_read_aloud(widgets):
    buddies = {value(widget, "buddy") for widget in widgets.values()}
    for name, widget in widgets.items():
        if widget.get("class") in (*FOCUSABLE, "qMRMLNodeComboBox", "QProgressBar"):
            assert value(widget, "text") or value(widget, "accessibleName") or name in buddies, name


def test_every_control_explains_itself(widgets):
    for name, widget in widgets.items():
        if widget.get("class") in ("QPushButton", "QComboBox", "QCheckBox", "QDoubleSpinBox", "qMRMLNodeComboBox"):
            assert value(widget, "toolTip").endswith(".") or name == "segmentButton", name


def test_segment_and_cancel_by_keyboard_alone(ready):
    ready.ui.segmentButton.setFocus()
    QTest.keyClick(ready.ui.segmentButton, QtCore.Qt.Key.Key_Space)
    ready.desktop.settle()
    assert ready.panel.run is not None
    ready.desktop.wait(600)  # sooner it would be a double click
    QTest.keyClick(ready.ui.segmentButton, QtCore.Qt.Key.Key_Space)
    ready.finish()
    assert "Cancelled" in ready.text("infoLabel")


class TestKeys:
    """Slicer's node selectors take no focus by themselves."""

    INNER = ("ctSelector", "segmentationSelector", "regionSelector")

    @pytest.fixture
    def shown(self, ready):
        ready.open("optionsSection")
        window = ready.top._real
        window.activateWindow()
        QTest.qWaitForWindowActive(window)
        return ready

    def focused(self):
        """The name of the panel's widget that has the focus, in a selector the selector's."""
        widget = QtWidgets.QApplication.focusWidget()
        while widget is not None and (not widget.objectName() or widget.objectName().startswith("qt_")):
            widget = widget.parentWidget()
        return widget.objectName() if widget else ""

    def test_tab_goes_through_all_from_top_to_bottom(self, shown):
        stops = [stop.text for stop in ET.parse(UI).getroot().iter("tabstop")]
        shown.ui.ctSelector.findChild(QtWidgets.QComboBox).setFocus()
        seen = [self.focused()]
        for _ in range(60):
            QTest.keyClick(QtWidgets.QApplication.focusWidget(), QtCore.Qt.Key.Key_Tab)
            seen.append(self.focused())
        reached = list(dict.fromkeys(name for name in seen if name in stops))
        assert set(self.INNER) <= set(reached)
        assert reached == [name for name in stops if name in reached]

    @pytest.mark.parametrize(
        ("letter", "name"), [("C", "ctSelector"), ("R", "segmentationSelector"), ("W", "regionSelector")]
    )
    def test_alt_and_a_letter_go_to_a_selector(self, shown, letter, name):
        shown.ui.flipsBox.setFocus()
        key = getattr(QtCore.Qt.Key, f"Key_{letter}")
        QTest.keyClick(shown.top._real, key, QtCore.Qt.KeyboardModifier.AltModifier)
        assert self.focused() == name

    def test_arrows_then_choose(self, shown, add_ct):
        add_ct("another")
        shown.desktop.settle()
        shown.ui.ctSelector.setFocus()
        QTest.keyClick(QtWidgets.QApplication.focusWidget(), QtCore.Qt.Key.Key_Down)
        shown.desktop.settle()
        assert shown.parameters.ct.GetName() == "another"


def test_the_editors_keys_are_there_only_while_it_is_open(ready, monkeypatch):
    from .stand_ins import stand_in

    heard = []
    editor = stand_in("qMRMLSegmentEditorWidget")
    for name in ("installKeyboardShortcuts", "uninstallKeyboardShortcuts", "updateEffectList"):
        monkeypatch.setattr(editor, f"do_{name}", lambda self, *_, name=name: heard.append(name), raising=False)
    ready.open("correctSection")
    assert heard[-2:] == ["updateEffectList", "installKeyboardShortcuts"]  # effects that came after the panel, too
    ready.widget.exit()
    assert heard[-1] == "uninstallKeyboardShortcuts"
    ready.widget.enter()
    assert heard[-1] == "installKeyboardShortcuts"


def test_an_effect_ends_when_the_section_is_closed(ready, monkeypatch):
    """It would go on drawing at each click into a slice, unseen."""
    from .stand_ins import stand_in

    active = ["Paint"]
    editor = stand_in("qMRMLSegmentEditorWidget")
    monkeypatch.setattr(editor, "do_setActiveEffect", lambda _self, one: active.append(one), raising=False)
    ready.open("correctSection")
    assert active == ["Paint"]
    QTest.mouseClick(ready.ui.correctSection, QtCore.Qt.MouseButton.LeftButton, pos=QtCore.QPoint(60, 10))
    ready.desktop.settle()
    assert active == ["Paint", None]


def test_the_panel_fits_a_narrow_side(done):
    """Slicer's side panel is some 450 pixels wide on a laptop."""
    assert done.top._real.minimumSizeHint().width() <= 450


def test_the_first_result_has_a_table_as_high_as_its_rows_with_large_letters_too(ready):
    font = ready.ui.resultsTable.font()
    font.setPointSizeF(1.5 * font.pointSizeF())
    ready.top._real.setFont(font)
    ready.segment()
    ready.desktop.settle()
    table = ready.ui.resultsTable
    rows = sum(table.rowHeight(row) for row in range(table.rowCount()))
    assert 0 <= table.height() - table.horizontalHeader().height() - rows <= 6


def attributes_of(path, owner):
    """What a file reads of ``ui`` or ``self.ui``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            base = node.value
            if (isinstance(base, ast.Name) and base.id == owner) or (
                isinstance(base, ast.Attribute) and base.attr == owner
            ):
                yield node.attr


def test_the_code_uses_widgets_that_the_file_has(widgets):
    used = {name for file in LIBRARY.glob("*.py") for name in attributes_of(file, "ui")}
    assert len(used) > 20
    assert used <= set(widgets), used - set(widgets)


def test_every_button_of_the_file_is_connected(widgets):
    buttons = {name for name, widget in widgets.items() if widget.get("class") == "QPushButton"}
    connected = set(re.findall(r"ui\.(\w+)\.connect\(", "".join(f.read_text("utf-8") for f in LIBRARY.glob("*.py"))))
    assert buttons <= connected, buttons - connected


def test_every_parameter_has_a_widget_and_the_other_way_round(widgets, desktop, module):
    from WPUNetSegmentLib.parameters import Parameters

    named = {value(widget, "SlicerParameterName") for widget in widgets.values()} - {""}
    assert named == set(Parameters.allParameters)


def test_qt_classes_of_the_code_exist_in_slicers_qt():
    from .pythonqt import Qt

    qt = Qt()
    used = {name for file in LIBRARY.glob("*.py") for name in attributes_of(file, "qt") if name[0].isupper()}
    assert {"QTimer", "QSettings", "QTableWidgetItem"} <= used
    for name in used:
        assert hasattr(qt, name), name
    slicers = {name for file in LIBRARY.glob("*.py") for name in attributes_of(file, "slicer") if name[0] == "q"}
    assert slicers <= set(TABLE)


class TestAnotherLanguage:
    """Every text that the code shows goes through ``tr``, which here puts it in brackets."""

    @pytest.fixture
    def bracketed(self, monkeypatch):
        from . import desktop as place

        monkeypatch.setattr(place.Desktop, "translate", staticmethod(lambda _context, text: f"[{text}]"))

    def test_texts_set_by_the_code(self, bracketed, request):
        panel = request.getfixturevalue("panel")
        assert panel.text("infoLabel").startswith("[")
        request.getfixturevalue("ready")
        assert panel.text("infoLabel").startswith("[")
        request.getfixturevalue("done")
        panel.click("nextTumorButton")
        for name in ("infoLabel", "footerLabel", "welcomeLabel", "placeLabel", "staleLabel", "segmentButton"):
            assert panel.text(name).startswith("["), name
        assert panel.ui.segmentButton.toolTip().startswith("[")
        table = panel.ui.resultsTable
        heads = [table.horizontalHeaderItem(k).text() for k in range(table.columnCount())]
        assert all(head.startswith("[") for head in heads)
        assert all(panel.ui.deviceBox.itemText(k).count("[") for k in range(4))
        panel.panel._tell(error="x")
        panel.click("segmentButton")
        assert panel.text("segmentButton").startswith("[")

    def test_the_module(self, bracketed, request):
        module = request.getfixturevalue("module")
        parent = types.SimpleNamespace(path=str(MODULE))
        module.WPUNetSegment(parent)
        for text in (parent.title, *parent.categories, parent.helpText, parent.acknowledgementText):
            assert text.startswith("[")


def test_no_widget_is_named_like_a_menu_of_pythonqt(widgets):
    """``ui.name`` and the like would hide the widget behind a member of the object that holds them."""
    assert not {name for name in widgets if name in dir(object()) or hasattr(QtWidgets.QWidget, name)}
    assert slicer.mrmlScene is not None
