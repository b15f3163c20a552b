"""The panel before a run: every control does what it says, and shows how things stand."""

from __future__ import annotations

import pytest
import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtTest import QTest
from wpunet.errors import InstallError

from .pythonqt import wrap


def nodes(kind="vtkMRMLSegmentationNode"):
    return slicer.util.getNodesByClass(kind)


class TestBeforeARun:
    def test_nothing_to_segment(self, panel):
        assert not panel.ui.segmentButton.isEnabled()
        assert "sample" in panel.text("infoLabel")
        assert panel.shown("sampleButton")
        for frame in ("welcomeFrame", "warningFrame", "errorFrame", "progressFrame"):
            assert not panel.shown(frame)

    def test_the_first_ct_is_chosen_on_entering(self, panel, add_ct):
        ct = add_ct()
        panel.widget.enter()
        assert panel.parameters.ct is ct
        assert panel.ui.segmentButton.isEnabled()

    def test_the_first_ct_that_is_loaded_is_chosen(self, panel, add_ct):
        first = add_ct("first")
        panel.desktop.wait(20)
        assert panel.parameters.ct is first
        add_ct("second")
        panel.desktop.wait(20)
        assert panel.parameters.ct is first

    def test_none_is_chosen_while_a_scene_is_loaded_which_may_name_its_own(self, panel, add_ct):
        scene = slicer.mrmlScene
        scene.StartState(scene.ImportState)
        add_ct("first")
        panel.desktop.wait(50)
        assert panel.parameters.ct is None
        panel.parameters.ct = own = add_ct("its own")
        scene.EndState(scene.ImportState)
        panel.desktop.settle()
        assert panel.parameters.ct is own

    def test_a_loader_that_adds_its_nodes_in_one_go_is_waited_for(self, panel, add_ct):
        scene = slicer.mrmlScene
        scene.StartState(scene.BatchProcessState)
        ct = add_ct()
        panel.desktop.wait(50)
        assert panel.parameters.ct is None
        scene.EndState(scene.BatchProcessState)
        panel.desktop.wait(300)
        assert panel.parameters.ct is ct

    def test_an_empty_node_says_what_is_wrong(self, panel):
        panel.choose("ct", slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
        panel.engine.go()
        panel.click("segmentButton")
        assert "empty holds no image" in panel.text("errorLabel")
        assert panel.panel.run is None

    def test_a_label_map_is_no_ct(self, panel, add_ct):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
        panel.widget.enter()
        assert panel.parameters.ct is None
        ct = add_ct()
        assert panel.ui.ctSelector.nodes() == [ct]

    def test_the_licence_is_read_once(self, desktop, module, engine, add_ct):
        from .desk import Desk

        add_ct()
        first = Desk(desktop, module, engine, acknowledged=False)
        assert first.shown("welcomeFrame")
        assert "CC BY-NC-SA 4.0" in first.text("welcomeLabel")
        assert not first.ui.segmentButton.isEnabled()
        assert "read the note above" in first.text("infoLabel")
        first.click("acknowledgeButton")
        assert not first.shown("welcomeFrame")
        assert first.ui.segmentButton.isEnabled()
        from WPUNetSegmentLib import messages

        assert messages.acknowledged()

    def test_another_licence_of_the_weights_is_read_anew(self, ready):
        import qt
        from WPUNetSegmentLib import messages

        assert not ready.shown("welcomeFrame")
        qt.QSettings().setValue(messages.ACKNOWLEDGED, "that of earlier weights")
        ready.panel.refresh()
        assert ready.shown("welcomeFrame")
        assert not ready.ui.segmentButton.isEnabled()

    def test_links_open_files_that_exist(self, panel, desktop):
        import re
        from pathlib import Path
        from urllib.parse import unquote, urlparse

        for label in ("welcomeLabel", "footerLabel"):
            for address in re.findall('href="([^"]+)"', panel.text(label)):
                assert Path(unquote(urlparse(address).path)).is_file()
                getattr(panel.ui, label).linkActivated.emit(address)
                desktop.settle()
                (text,) = panel.panel._document._real.findChildren(QtWidgets.QTextBrowser)
                assert text.isVisible()
                words = Path(unquote(urlparse(address).path)).read_text("utf-8")
                assert words.split()[-1].strip(".|`*") in text.toPlainText()

    def test_a_link_of_the_model_card_opens_in_the_browser_and_the_card_stays(self, panel, desktop):
        """Files of the repository do not come with the module: Qt would show nothing in place of the card."""
        from WPUNetSegmentLib import messages

        panel.ui.footerLabel.linkActivated.emit(messages.MODEL_CARD.as_uri())
        (text,) = panel.panel._document._real.findChildren(QtWidgets.QTextBrowser)
        words = text.toPlainText()
        link = text.document().find("CSV")
        link.setPosition(link.position() - 1)
        text.setTextCursor(link)
        text.ensureCursorVisible()
        desktop.settle()
        QTest.mouseClick(text.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=text.cursorRect(link).center())
        desktop.settle()
        assert text.toPlainText() == words
        (opened,) = desktop.opened
        assert opened.startswith("https://github.com/WPUNetSegment/")
        assert opened.endswith("/blob/main/training/results/sources.csv")

    @pytest.mark.parametrize(("keys", "ml"), [("1.5", 1.5), ("0.25", 0.25), ("12", 12.0)])
    def test_a_number_can_be_typed(self, ready, keys, ml):
        """Slicer writes each value back into its widget: not before the number is whole."""
        ready.open("optionsSection")
        box = ready.ui.minTumorBox
        box.setFocus()
        box.selectAll()
        QTest.keyClicks(box, keys)
        QTest.keyClick(box, QtCore.Qt.Key.Key_Return)
        ready.desktop.settle()
        assert box.value() == ml
        assert ready.parameters.min_tumor_ml == ml

    @pytest.mark.parametrize("gpu", [False, True])
    def test_devices_are_named_with_what_is_here(self, panel, monkeypatch, gpu):
        from WPUNetSegmentLib import messages

        monkeypatch.setattr(messages, "gpu_possible", lambda: gpu)
        panel.panel._name_devices()
        box = panel.ui.deviceBox
        names = [box.itemText(k) for k in range(box.count())]
        assert len(names) == 4
        assert ("not found" in names[2]) != gpu
        assert ("no graphics card" in names[0]) != gpu

    @pytest.mark.parametrize(
        ("system", "machine", "nvidia", "apple"),
        [
            ("linux", "x86_64", True, False),
            ("win32", "AMD64", True, False),
            ("darwin", "x86_64", False, False),
            ("darwin", "arm64", False, True),
        ],
    )
    def test_a_graphics_card_that_cannot_be_used_is_off_and_says_why(
        self, panel, monkeypatch, system, machine, nvidia, apple
    ):
        from WPUNetSegmentLib import install

        monkeypatch.setattr(install.sys, "platform", system)
        monkeypatch.setattr(install.platform, "machine", lambda: machine)
        panel.panel._name_devices()
        model = panel.ui.deviceBox.model()
        for at, kind, possible in ((2, "cuda", nvidia), (3, "mps", apple)):
            assert model.item(at).isEnabled() is possible
            assert bool(model.item(at).toolTip()) is not possible
            if possible:
                install.require_device(kind)
            else:
                assert "not on this computer" in panel.ui.deviceBox.itemText(at)
                with pytest.raises(InstallError, match="Choose the device"):
                    install.ensure(kind, ask=lambda _question: True)
        assert all(model.item(at).isEnabled() for at in (0, 1))

    def test_whether_there_is_a_driver_is_asked_once(self, ready, monkeypatch):
        from WPUNetSegmentLib import messages

        asked = []
        messages._driver.cache_clear()
        monkeypatch.setattr(messages.runtime, "gpu_driver", lambda: bool(asked.append(1)))
        for _ in range(5):
            ready.panel.refresh()
        messages._driver.cache_clear()
        assert len(asked) == 1

    def test_only_the_panels_own_widgets_are_asked_for_their_parameter(self, desktop, module, engine):
        """Inside Slicer's Segment Editor are hundreds of named widgets."""
        from .desk import Desk

        asked = []

        class Inside(QtWidgets.QLabel):
            def property(self, name):
                asked.append(name)
                return super().property(name)

        desk = Desk(desktop, module, engine)
        inside = wrap(Inside(desk.ui.segmentEditor))
        inside.name = "anEffectsLabel"
        vars(desk.widget.ui)["anEffectsLabel"] = inside
        parameters = desk.parameters
        asked.clear()
        desk.panel.use(None)
        desk.panel.use(parameters)
        assert asked == []
        desk.widget.cleanup()


class TestParameters:
    CHECKS = (
        ("sidesBox", "sides"),
        ("parenchymaBox", "parenchyma"),
        ("flipsBox", "flips"),
        ("fullBox", "full"),
        ("uncertaintyBox", "uncertainty"),
    )

    @pytest.mark.parametrize(("box", "name"), CHECKS)
    def test_a_check_box_and_its_parameter_follow_each_other(self, panel, box, name):
        panel.open("optionsSection")
        before = getattr(panel.parameters, name)
        panel.ui.__getattr__(box).click()
        panel.desktop.settle()
        assert getattr(panel.parameters, name) is not before
        panel.choose(name, before)
        assert getattr(panel.ui, box).isChecked() is before

    def test_numbers_and_lists_too(self, panel):
        panel.ui.minTumorBox.setValue(1.5)
        panel.ui.deviceBox.setCurrentIndex(1)
        assert panel.parameters.min_tumor_ml == 1.5
        assert panel.parameters.device == "cpu"
        panel.choose("device", "mps")
        panel.choose("min_tumor_ml", 0.3)
        assert panel.ui.deviceBox.currentIndex() == 3
        assert panel.ui.minTumorBox.value() == 0.3

    def test_nodes_too(self, panel, add_ct):
        first, second = add_ct("first"), add_ct("second")
        panel.choose("ct", second)
        assert panel.ui.ctSelector.currentNode() is second
        panel.ui.ctSelector.setCurrentNode(first)
        assert panel.parameters.ct is first

    def test_defaults_are_the_engines_own(self, panel):
        from wpunet.clean import CleanRules
        from WPUNetSegmentLib.run import RunOptions

        usual = RunOptions()
        for name in ("device", "flips", "full", "sides", "parenchyma", "uncertainty", "region"):
            assert getattr(panel.parameters, name) == getattr(usual, name)
        assert panel.parameters.min_tumor_ml == CleanRules().min_tumor_ml

    def test_options_reach_the_engine(self, ready):
        region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        region.SetSize(150, 150, 100)
        ready.choose("region", region)
        ready.choose("device", "cpu")
        ready.choose("flips", False)
        ready.choose("parenchyma", True)
        ready.choose("full", True)
        ready.choose("uncertainty", True)
        ready.choose("min_tumor_ml", 0.7)
        ready.segment()
        given = ready.engine.last.arguments
        assert (given.device, given.flips, given.full, given.min_tumor_ml) == ("cpu", False, True, 0.7)
        assert given.uncertainty
        assert given.parenchyma
        assert given.box

    def test_what_the_engine_does_without_options(self, done):
        given = done.engine.last.arguments
        assert (given.flips, given.full, given.uncertainty, given.box) == (True, False, None, None)
        assert not given.parenchyma


class TestSeveralCts:
    """Another CT comes with its own result, or with a new one, so that no question is asked."""

    def test_the_result_follows_the_ct(self, done, add_ct):
        first, result = done.parameters.ct, done.parameters.segmentation
        before = done.table()
        second = add_ct("second", cyst=True)
        done.ui.ctSelector.setCurrentNode(second)
        done.desktop.settle()
        assert done.parameters.segmentation is None
        assert done.ui.segmentationSelector.currentNode() is None
        assert done.table() == []
        done.segment()
        assert done.desktop.asked == []
        assert len(nodes()) == 2
        done.ui.ctSelector.setCurrentNode(first)
        done.desktop.settle()
        assert done.parameters.segmentation is done.ui.segmentationSelector.currentNode() is result
        assert done.table() == before
        done.choose("ct", second)
        assert done.parameters.segmentation is nodes()[1]

    def test_what_belongs_to_no_other_ct_stays(self, done, add_ct):
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        done.choose("segmentation", empty)
        done.choose("ct", add_ct("second"))
        assert done.parameters.segmentation is empty

    def test_another_cts_may_be_chosen_on_purpose(self, done, add_ct):
        first = done.parameters.segmentation
        done.choose("ct", add_ct("second"))
        done.choose("segmentation", first)
        done.choose("flips", False)
        assert done.parameters.segmentation is first

    def test_it_stays_while_no_ct_is_chosen_or_a_map(self, done):
        first = done.parameters.segmentation
        done.choose("ct", None)
        assert done.parameters.segmentation is first
