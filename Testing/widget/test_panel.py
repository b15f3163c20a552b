"""The panel: every button does what it says, and shows how things stand."""

from __future__ import annotations

import pytest
import slicer
from PySide6 import QtWidgets
from wpunet.errors import InputError, InstallError

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

    def test_links_open_files_that_exist(self, panel, desktop):
        import re
        from pathlib import Path
        from urllib.parse import unquote, urlparse

        for label in ("welcomeLabel", "footerLabel"):
            for address in re.findall('href="([^"]+)"', panel.text(label)):
                assert Path(unquote(urlparse(address).path)).is_file()
                getattr(panel.ui, label).linkActivated.emit(address)
                desktop.settle()
                assert desktop.opened[-1] == address

    def test_no_gpu_is_told_until_the_first_run(self, ready, monkeypatch):
        from WPUNetSegmentLib import messages

        monkeypatch.setattr(messages, "gpu_possible", lambda: False)
        ready.panel.refresh()
        assert "No graphics card" in ready.text("infoLabel")
        assert "about" in ready.text("infoLabel")
        ready.segment()
        ready.choose("segmentation", None)
        assert "No graphics card" not in ready.text("infoLabel")
        assert "40 slices" in ready.text("infoLabel")

    def test_the_time_to_expect_is_that_of_this_computer(self, ready):
        from WPUNetSegmentLib import messages

        messages.remember_speed(100, 203.0)
        assert "about 1 min" in messages.outlook(40, "cpu")

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


class TestRegion:
    def test_a_new_one_holds_the_whole_ct(self, panel, add_ct):
        ct = add_ct(move=(30.0, 0.0, 50.0))
        panel.choose("ct", ct)
        panel.open("optionsSection")
        box = panel.ui.regionSelector.findChild(QtWidgets.QComboBox)
        box.activated.emit(box.findData("addEnabled"))
        panel.desktop.settle()
        region = panel.parameters.region
        assert region is not None
        bounds, wanted = [0.0] * 6, [0.0] * 6
        region.GetRASBounds(bounds)
        ct.GetRASBounds(wanted)
        assert bounds == pytest.approx(wanted)
        assert region.GetDisplayNode() is not None
        panel.segment()
        assert panel.engine.last.arguments.box == ((0, 64), (0, 50), (0, 40))

    def test_one_that_was_made_before_the_ct_is_fitted_when_there_is_one(self, panel, add_ct):
        panel.choose("region", slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode"))
        panel.choose("ct", add_ct())
        assert all(size > 100 for size in panel.parameters.region.GetSize())

    def test_one_that_the_user_has_sized_stays(self, ready):
        region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        region.SetSize(50, 60, 70)
        ready.choose("region", region)
        assert region.GetSize() == (50, 60, 70)


class TestParameters:
    CHECKS = (("sidesBox", "sides"), ("flipsBox", "flips"), ("fullBox", "full"), ("uncertaintyBox", "uncertainty"))

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
        for name in ("device", "flips", "full", "sides", "uncertainty", "region"):
            assert getattr(panel.parameters, name) == getattr(usual, name)
        assert panel.parameters.min_tumor_ml == CleanRules().min_tumor_ml

    def test_options_reach_the_engine(self, ready):
        region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        region.SetSize(150, 150, 100)
        ready.choose("region", region)
        ready.choose("device", "cpu")
        ready.choose("flips", False)
        ready.choose("full", True)
        ready.choose("uncertainty", True)
        ready.choose("min_tumor_ml", 0.7)
        ready.segment()
        given = ready.engine.last.arguments
        assert (given.device, given.flips, given.full, given.min_tumor_ml) == ("cpu", False, True, 0.7)
        assert given.uncertainty
        assert given.box

    def test_what_the_engine_does_without_options(self, done):
        given = done.engine.last.arguments
        assert (given.flips, given.full, given.uncertainty, given.box) == (True, False, None, None)


class TestARun:
    def test_segment_turns_into_cancel_and_back(self, ready):
        ready.click("segmentButton")
        assert ready.text("segmentButton").replace("&", "") == "Cancel"
        assert ready.shown("progressFrame")
        assert ready.text("progressLabel").startswith("Segmenting")
        assert "left" in ready.text("progressLabel")
        assert ready.ui.progressBar.value() == 500
        assert not ready.ui.ctSelector.isEnabled()
        assert not ready.ui.optionsSection.isEnabled()
        ready.engine.go()
        ready.finish()
        assert ready.text("segmentButton").replace("&", "") == "Segment"
        assert not ready.shown("progressFrame")
        assert ready.ui.ctSelector.isEnabled()

    def test_the_result_is_in_the_scene_and_on_the_panel(self, done):
        (segmentation,) = nodes()
        assert done.parameters.segmentation is segmentation
        assert done.ui.segmentationSelector.currentNode() is segmentation
        assert [row[0] for row in done.table()] == ["right kidney", "left kidney", "right tumor 1", "left tumor 2"]
        volumes = [float(row[1]) for row in done.table()]
        assert volumes == pytest.approx([101.6, 88.9, 11.5, 3.1], rel=0.1)
        assert done.ui.resultsSection.isChecked()
        assert "Kidneys: 2, tumors: 2" in done.text("infoLabel")
        assert done.shown("warningFrame")
        assert "Made by the stand-in." in done.text("warningLabel")
        assert not done.shown("errorFrame")
        assert "thresholds" in done.text("logText")

    def test_cancel_leaves_the_scene_as_it_was(self, ready):
        before = slicer.mrmlScene.GetNumberOfNodes()
        ready.click("segmentButton")
        ready.click("segmentButton")
        assert ready.engine.last.cancelled
        ready.finish()
        assert slicer.mrmlScene.GetNumberOfNodes() == before
        assert "Cancelled" in ready.text("infoLabel")
        assert not ready.shown("errorFrame")
        ready.segment()
        assert len(nodes()) == 1

    def test_the_engines_message_is_shown(self, ready, desktop):
        ready.engine.fail(2, "CT holds one value only; export it again.")
        ready.segment()
        assert ready.shown("errorFrame")
        assert "CT holds one value only; export it again." in ready.text("errorLabel")
        assert not nodes()
        ready.click("copyErrorButton")
        copied = desktop.application.clipboard().text()
        assert "CT holds one value only" in copied
        assert "the engine's own words" in copied
        assert copied.startswith("WPUNetSegment 0.")

    def test_a_crash_is_shown(self, ready):
        ready.engine.fail(-11)
        ready.segment()
        assert "ended unexpectedly" in ready.text("errorLabel")
        assert "the engine's own words" in ready.text("logText")

    def test_the_next_run_takes_the_old_messages_away(self, ready):
        ready.engine.fail(2, "Something.")
        ready.segment()
        ready.engine.fail(0)
        ready.segment()
        assert not ready.shown("errorFrame")

    def test_warnings_go_with_their_segmentation(self, done):
        segmentation = done.parameters.segmentation
        done.choose("flips", False)
        assert done.shown("warningFrame")
        done.choose("segmentation", None)
        assert not done.shown("warningFrame")
        done.choose("segmentation", segmentation)
        assert "Made by the stand-in." in done.text("warningLabel")

    def test_an_error_while_it_is_followed_ends_the_run(self, ready, monkeypatch):
        from WPUNetSegmentLib.run import Run

        ready.click("segmentButton")

        def poll(_run):
            monkeypatch.undo()
            raise ValueError("planted")

        monkeypatch.setattr(Run, "poll", poll)
        with pytest.raises(ValueError, match="planted"):
            ready.finish()
        assert ready.panel.run is None
        assert ready.engine.last.cancelled
        assert ready.text("segmentButton").replace("&", "") == "Segment"
        assert "planted" in ready.text("errorLabel")

    def test_what_is_not_installed_is_told(self, ready, monkeypatch):
        from wpunet.errors import InstallError
        from WPUNetSegmentLib import install

        def ensure(device, ask):
            raise InstallError("Nothing was installed.")

        monkeypatch.setattr(install, "ensure", ensure)
        ready.click("segmentButton")
        assert "Nothing was installed." in ready.text("errorLabel")
        assert not ready.engine.started
        assert ready.panel.run is None

    def test_a_second_click_during_the_installation_does_not_start_it_again(self, ready, monkeypatch):
        """pip's window lets Slicer live on, so the button can be clicked."""
        from WPUNetSegmentLib import install

        calls = []

        def ensure(device, ask):
            calls.append(device)
            ready.desktop.application.processEvents()
            assert ready.text("segmentButton") == "Installing…"
            assert not ready.ui.segmentButton.isEnabled()
            assert not ready.ui.optionsSection.isEnabled()
            ready.panel._segment_or_cancel()  # a click that came before the button was off
            assert ready.panel.run is None

        monkeypatch.setattr(install, "ensure", ensure)
        ready.segment()
        assert len(calls) == 1
        assert len(ready.engine.started) == 1
        assert ready.text("segmentButton").replace("&", "") == "Segment"

    def test_a_scene_that_is_closed_during_the_installation_is_not_segmented(self, ready, monkeypatch):
        from WPUNetSegmentLib import install

        monkeypatch.setattr(install, "ensure", lambda *_: slicer.mrmlScene.Clear())
        ready.click("segmentButton")
        assert not ready.engine.started
        assert ready.panel.run is None

    def test_an_unexpected_error_is_shown_and_not_swallowed(self, ready, monkeypatch):
        def fail(_segmentation):
            raise ValueError("planted")

        monkeypatch.setattr(ready.panel.logic, "edited", fail)
        ready.ui.segmentButton.click()
        with pytest.raises(ValueError, match="planted"):
            ready.desktop.settle()
        assert "planted" in ready.text("errorLabel")
        assert "Traceback" in ready.text("logText")

    def test_the_ct_is_removed_meanwhile(self, ready):
        ready.click("segmentButton")
        slicer.mrmlScene.RemoveNode(ready.parameters.ct)
        ready.finish()
        assert ready.engine.last.cancelled
        assert "no longer in the scene" in ready.text("infoLabel")
        assert not nodes()

    def test_the_scene_is_closed_meanwhile(self, ready, add_ct):
        ready.click("segmentButton")
        slicer.mrmlScene.Clear()
        ready.desktop.settle()
        assert ready.engine.last.cancelled
        assert ready.panel.run is None
        assert not ready.shown("progressFrame")
        assert not nodes()
        ready.choose("ct", add_ct())
        ready.segment()
        assert len(nodes()) == 1

    def test_the_module_is_unloaded_meanwhile(self, ready):
        ready.click("segmentButton")
        panel = ready.panel
        ready.widget.cleanup()
        assert ready.engine.last.cancelled
        assert panel.run is None
        slicer.mrmlScene.Clear()
        ready.desktop.settle()

    def test_the_module_is_reloaded(self, done, desktop, module, engine):
        from .desk import Desk

        done.widget.cleanup()
        again = Desk(desktop, module, engine)
        assert again.parameters.segmentation is nodes()[0]
        assert len(again.table()) == 4
        again.segment()
        assert len(nodes()) == 1


class TestDeletedNodes:
    """Where a node that is chosen is deleted, Slicer's selector turns to another one by itself."""

    def test_an_uncertainty_map_is_no_ct(self, ready):
        ready.choose("uncertainty", True)
        ready.segment()
        slicer.mrmlScene.RemoveNode(ready.parameters.ct)
        ready.desktop.settle()
        assert "uncertainty" in ready.parameters.ct.GetName()  # so does the selector in Slicer
        assert not ready.ui.segmentButton.isEnabled()
        assert "no CT" in ready.text("infoLabel")
        from WPUNetSegmentLib import handover

        with pytest.raises(InputError, match="a map of uncertainty"):
            handover.require_ct(ready.parameters.ct)

    def test_nor_is_it_chosen_as_the_first_ct(self, ready, add_ct):
        ready.choose("uncertainty", True)
        ready.segment()
        ready.choose("ct", None)
        other = add_ct("other")
        slicer.mrmlScene.RemoveNode(slicer.util.getNode("CT"))
        ready.choose("ct", None)
        ready.widget.enter()
        assert ready.parameters.ct is other

    @pytest.mark.parametrize("answer", [True, False])
    def test_another_cts_segmentation_is_not_written_into_unasked(self, done, add_ct, answer):
        first = done.parameters.segmentation
        before = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum()
        done.choose("segmentation", None)
        second = add_ct("second", move=(5.0, 0.0, 0.0))
        done.choose("ct", second)
        done.segment()
        slicer.mrmlScene.RemoveNode(done.parameters.segmentation)
        done.desktop.settle()
        assert done.parameters.segmentation is first  # by itself
        done.desktop.answers = [answer]
        done.segment()
        (asked,) = done.desktop.asked
        assert "belongs to another CT than second" in asked
        assert (done.parameters.segmentation is first) is answer
        if not answer:
            ct = slicer.util.getNode("CT")
            assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", ct).sum() == before

    def test_measuring_and_saving_take_the_segmentations_own_ct(self, done, add_ct, tmp_path):
        import nibabel as nib

        before = done.table()
        other = add_ct("other")
        slicer.util.arrayFromVolume(other)[:] = 7
        done.choose("ct", other)
        assert done.ui.segmentEditor.sourceVolumeNode().GetName() == "CT"
        done.click("measureButton")
        assert [row[:4] for row in done.table()] == [row[:4] for row in before]
        done.open("correctSection")
        done.desktop.answers = [tmp_path]
        done.click("saveCaseButton")
        saved = nib.load(tmp_path / "case_00000" / "imaging.nii.gz").get_fdata()
        assert saved.max() == 300

    def test_where_its_ct_is_gone_nothing_is_measured_on_another(self, done, add_ct):
        add_ct("other")
        slicer.mrmlScene.RemoveNode(done.parameters.ct)
        done.desktop.settle()
        assert done.parameters.ct.GetName() == "other"
        assert not done.ui.measureButton.isEnabled()
        assert not done.ui.saveCaseButton.isEnabled()


class TestSurfaces:
    def test_are_shown_with_tumors_to_be_seen_through_kidneys(self, done):
        display = done.parameters.segmentation.GetDisplayNode()
        assert display.GetVisibility3D()
        opacity = {key: display.GetSegmentOpacity3D(key) for key in ("kidney_right", "kidney_left", "tumor")}
        assert opacity == {"kidney_right": 0.4, "kidney_left": 0.4, "tumor": 1.0}

    def test_stay_away_when_the_user_has_put_them_away(self, done):
        done.ui.show3DButton.setChecked(True)
        done.ui.show3DButton.setChecked(False)
        done.segment()
        inside = done.parameters.segmentation.GetSegmentation()
        assert not inside.ContainsRepresentation(slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName())

    def test_keep_the_opacity_that_the_user_chose(self, done):
        display = done.parameters.segmentation.GetDisplayNode()
        display.SetSegmentOpacity3D("kidney_left", 0.8)
        done.segment()
        assert display.GetSegmentOpacity3D("kidney_left") == 0.8


class TestSegmentingAgain:
    def edit(self, panel):
        """One slice more of the tumor, as a user would paint."""
        segmentation, ct = panel.parameters.segmentation, panel.parameters.ct
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "tumor", ct)
        array[2, 2:9, 2:9] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, "tumor", ct)
        panel.desktop.settle()

    def test_updates_the_same_node_without_a_question(self, done):
        done.segment()
        assert len(nodes()) == 1
        assert not done.desktop.asked
        assert done.shown("warningFrame")

    def test_into_a_new_node_where_the_user_says_so(self, done):
        done.choose("segmentation", None)
        done.segment()
        assert len(nodes()) == 2

    def test_into_a_node_that_the_user_made_in_the_selector(self, panel, add_ct):
        ct = add_ct(move=(10.0, 20.0, 30.0))
        panel.choose("ct", ct)
        panel.ui.segmentationSelector.addNode()
        made = panel.parameters.segmentation
        made.SetName("mine")
        panel.segment()
        assert nodes() == [made]
        assert made.GetName() == "mine"
        assert made.GetDisplayNode() is not None
        assert made.GetTransformNodeID() == ct.GetTransformNodeID()
        assert not panel.ui.undoButton.isEnabled()
        assert len(panel.table()) == 4

    def test_a_correction_is_kept_when_the_user_says_no(self, done):
        first = done.parameters.segmentation
        self.edit(done)
        kept = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum()
        done.desktop.answers = [False]
        done.segment()
        assert "kidney tumor" in done.desktop.asked[0]
        assert len(nodes()) == 2
        assert done.parameters.segmentation is not first
        assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum() == kept

    def test_a_correction_is_replaced_when_the_user_says_yes_and_comes_back(self, done):
        first = done.parameters.segmentation
        assert not done.ui.undoButton.isEnabled()
        self.edit(done)
        edited = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum()
        done.desktop.answers = [True]
        done.segment()
        assert len(nodes()) == 1
        assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum() < edited
        done.open("correctSection")
        done.click("undoButton")
        assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum() == edited
        assert not done.ui.undoButton.isEnabled()
        assert done.shown("staleLabel")

    def test_a_correction_during_the_run_is_asked_about_at_its_end(self, done):
        done.engine.hold()
        done.click("segmentButton")
        self.edit(done)
        done.desktop.answers = [False]
        done.engine.go()
        done.finish()
        assert len(done.desktop.asked) == 1
        assert len(nodes()) == 2
