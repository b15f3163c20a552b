"""The layer itself: what PythonQt would print or swallow raises, and what works in Slicer works here."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from PySide6 import QtCore, QtWidgets

from .desktop import MODULE
from .loader import UiError, check, load
from .pythonqt import Qt, raise_errors, wrap
from .stand_ins import TABLE, stand_in, table_of

UI = MODULE.parent / "Resources" / "UI" / "WPUNetSegment.ui"
qt = Qt()


@pytest.fixture
def button():
    made = qt.QPushButton("Segment")
    yield made
    raise_errors()


class TestMembers:
    def test_properties_are_attributes(self, button):
        assert button.text == "Segment"
        button.text = "Cancel"
        button.enabled = False
        assert button._real.text() == "Cancel"
        assert not button._real.isEnabled()

    def test_a_property_is_no_method(self, button):
        with pytest.raises(TypeError, match="not callable"):
            button.text()

    @pytest.mark.parametrize("name", ["txt", "clickd", "setTxt", "_private"])
    def test_what_is_not_there_cannot_be_read(self, button, name):
        with pytest.raises(AttributeError):
            getattr(button, name)

    @pytest.mark.parametrize("name", ["txt", "clicked", "setText", "width"])
    def test_what_is_no_property_cannot_be_set(self, button, name):
        with pytest.raises(AttributeError, match="can be set"):
            setattr(button, name, 1)

    @pytest.mark.parametrize(("name", "value"), [("text", 3), ("text", None), ("enabled", "no"), ("enabled", None)])
    def test_a_property_takes_its_own_type(self, button, name, value):
        with pytest.raises(TypeError, match="does not take"):
            setattr(button, name, value)

    def test_methods_and_statics(self, button):
        assert button.sizeHint.width() > 0
        button.setToolTip("Finds kidneys")
        assert button.toolTip == "Finds kidneys"
        assert qt.QApplication.instance()._real is QtWidgets.QApplication.instance()
        assert qt.Qt.AlignRight == QtCore.Qt.AlignmentFlag.AlignRight

    def test_members_of_qt_6_only_are_not_there(self):
        box = qt.QCheckBox("x")
        assert hasattr(box, "stateChanged")
        assert not hasattr(box, "checkStateChanged")

    def test_the_same_object_is_the_same(self, button):
        assert wrap(button._real) == button
        assert type(wrap(button._real)) is qt.QPushButton
        assert type(button) is not qt.QCheckBox

    def test_no_such_class(self):
        with pytest.raises(AttributeError, match="QPushBotton"):
            qt.QPushBotton()


class TestSignals:
    def test_connect_and_disconnect(self, button):
        heard = []

        def slot():
            heard.append(1)

        button.connect("clicked()", slot)
        button.clicked.connect(slot)
        button._real.click()
        button.clicked.disconnect(slot)
        button._real.click()
        assert len(heard) == 3

    @pytest.mark.parametrize("signature", ["clickd()", "clicked(int)", "clicked", "text()"])
    def test_a_signature_that_is_not_there(self, button, signature):
        with pytest.raises(AttributeError, match="no signal"):
            button.connect(signature, print)

    def test_disconnecting_what_was_not_connected(self, button):
        with pytest.raises(ValueError, match="was not connected"):
            button.clicked.disconnect(print)

    def test_something_that_cannot_be_called(self, button):
        with pytest.raises(TypeError, match="cannot be called"):
            button.clicked.connect("slot")

    def test_a_slot_gets_as_many_arguments_as_it_takes(self, button):
        heard = []
        button.checkable = True
        for slot in (lambda: heard.append("none"), heard.append, lambda *given: heard.append(given)):
            button.connect("clicked(bool)", slot)
        button._real.click()
        assert heard == ["none", True, (True,)]

    def test_what_a_slot_raises_is_kept(self, button):
        def slot():
            raise KeyError("planted")

        button.connect("clicked()", slot)
        button._real.click()
        with pytest.raises(KeyError, match="planted"):
            raise_errors()
        raise_errors()

    def test_so_is_what_an_observer_of_the_scene_raises(self, desktop):
        import slicer

        def observer(_caller, _event):
            raise KeyError("planted")

        tag = slicer.mrmlScene.AddObserver("ModifiedEvent", observer)
        slicer.mrmlScene.Modified()
        slicer.mrmlScene.RemoveObserver(tag)
        with pytest.raises(KeyError, match="planted"):
            desktop.settle()

    def test_a_timer(self, desktop):
        from PySide6.QtTest import QTest

        heard = []
        timer = qt.QTimer()
        timer.setInterval(1)
        timer.connect("timeout()", lambda: heard.append(1))
        timer.start()
        QTest.qWait(50)
        timer.stop()
        assert heard


class TestSlicersWidgets:
    @pytest.mark.parametrize("name", [name for name in TABLE if not name.startswith("_")])
    def test_have_what_the_table_says(self, name):
        widget = wrap(stand_in(name)())
        table = table_of(name)
        for member in (*table.properties, *table.signals, *table.methods):
            assert hasattr(widget, member), member
        with pytest.raises(AttributeError):
            widget.masterVolume  # noqa: B018

    def test_methods_take_what_slicers_take(self):
        selector = wrap(stand_in("qMRMLNodeComboBox")())
        for wrong in ((), (3,), (None, None)):
            with pytest.raises(TypeError, match="does not take"):
                selector.setCurrentNode(*wrong)
        with pytest.raises(TypeError, match="does not take"):
            selector.setMRMLScene("scene")

    def test_a_section_shows_what_was_not_hidden_before(self):
        section = stand_in("ctkCollapsibleButton")()
        layout = QtWidgets.QVBoxLayout(section)
        shown, hidden = QtWidgets.QLabel("a"), QtWidgets.QLabel("b")
        for label in (shown, hidden):
            layout.addWidget(label)
        section.show()
        hidden.hide()
        section.setProperty("collapsed", True)
        assert shown.isHidden()
        section.setProperty("collapsed", False)
        assert not shown.isHidden()
        assert hidden.isHidden()


class TestParameters:
    def test_a_widget_of_the_wrong_type_is_refused(self, desktop, module):
        from WPUNetSegmentLib.parameters import Parameters

        parameters = module.WPUNetSegmentLogic().getParameterNode()
        assert isinstance(parameters, Parameters)
        with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
            parameters.connectParametersToGui({"flips": qt.QLineEdit()})
        with pytest.raises(ValueError, match="Cannot find a param"):
            parameters.connectParametersToGui({"flip": qt.QCheckBox()})

    @pytest.mark.parametrize(
        ("name", "value"), [("device", "tpu"), ("min_tumor_ml", -1.0), ("flips", 1.5), ("min_tumor_ml", "much")]
    )
    def test_values_are_checked(self, desktop, module, name, value):
        parameters = module.WPUNetSegmentLogic().getParameterNode()
        with pytest.raises((TypeError, ValueError)):
            setattr(parameters, name, value)

    def test_a_disconnected_widget_no_longer_follows(self, desktop, module):
        parameters = module.WPUNetSegmentLogic().getParameterNode()
        box = qt.QCheckBox()
        tag = parameters.connectParametersToGui({"flips": box})
        parameters.flips = False
        assert not box.checked
        parameters.disconnectGui(tag)
        parameters.flips = True
        assert not box.checked
        box.checked = False
        assert parameters.flips


class TestUi:
    FAULTS = (
        ('class="QProgressBar"', 'class="QProgresBar"', "QProgresBar"),
        ('name="noneDisplay"', 'name="noneDisply"', "no property noneDisply"),
        ('name="wordWrap"', 'name="wordwrap"', "no property wordwrap"),
        ("<cstring>deviceBox<", "<cstring>devicesBox<", "buddy devicesBox"),
        ("<tabstop>logText<", "<tabstop>logtext<", "tab stop logtext"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "mrmlSceneChanged(vtkMRMLNode*)", "no signal mrmlSceneChanged"),
        ("setMRMLScene(vtkMRMLScene*)", "setScene(vtkMRMLScene*)", "no slot setScene"),
        ("<receiver>ctSelector<", "<receiver>inputSelector<", "inputSelector, which is no widget"),
        ('name="SlicerParameterName"', 'name="SlicerParametername"', "SlicerParametername means nothing"),
        ('name="flipsBox"', 'name="fullBox"', "the same name"),
    )

    def test_the_file_is_in_order(self):
        assert list(check(ET.parse(UI).getroot())) == []

    @pytest.mark.parametrize(("right", "wrong", "told"), FAULTS)
    def test_a_fault_in_the_file_is_told(self, tmp_path, right, wrong, told):
        text = UI.read_text("utf-8")
        assert right in text
        broken = tmp_path / "broken.ui"
        broken.write_text(text.replace(right, wrong), "utf-8")
        with pytest.raises(UiError, match=told):
            load(broken)
