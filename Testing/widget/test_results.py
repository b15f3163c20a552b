"""Results and review: the table, the walk through tumors and uncertain places, saving."""

from __future__ import annotations

import csv
import types

import numpy as np
import pytest
import slicer
import vtk
from PySide6 import QtCore
from PySide6.QtTest import QTest

from .conftest import BALLS, CYST, STEP, UNCERTAIN


@pytest.fixture
def views(desktop):
    """Three slice views; gives the point (RAS mm) that all of them show in their middle."""
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        view.SetLayoutName(name)
        view.SetOrientation(orientation)

    def middle():
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
        points = [[node.GetSliceToRAS().GetElement(row, 3) for row in range(3)] for node in nodes]
        assert len(points) == 3
        assert np.allclose(points, points[0])
        return np.array(points[0])

    return middle


def centre(k):
    return np.array(BALLS[k][1])


class TestTable:
    def test_a_click_on_a_row_shows_the_place_in_all_views(self, done, views):
        done.row(1)
        assert np.allclose(views(), centre(1), atol=STEP)
        done.row(2)
        assert np.allclose(views(), centre(2), atol=STEP)

    def test_so_does_the_enter_key(self, done, views):
        done.ui.resultsTable.setCurrentCell(3, 0)
        QTest.keyClick(done.ui.resultsTable, QtCore.Qt.Key.Key_Return)
        done.desktop.settle()
        assert np.allclose(views(), centre(3), atol=STEP)

    def test_under_a_transform_the_views_go_where_the_ct_is(self, panel, add_ct, views):
        panel.choose("ct", add_ct(move=(30.0, -40.0, 50.0)))
        panel.segment()
        panel.row(0)
        assert np.allclose(
            views(), centre(0) + np.array([30.0, -40.0, 50.0]), atol=STEP + 2
        )  # the tumor is not the kidney's

    @pytest.mark.parametrize("segments_too", [False, True])
    def test_a_ct_that_is_hardened_after_it_was_measured_takes_the_places_along(
        self, panel, add_ct, views, segments_too
    ):
        panel.choose("ct", add_ct(move=(30.0, -40.0, 50.0)))
        panel.choose("uncertainty", True)
        panel.segment()
        for node in (panel.parameters.ct, *([panel.parameters.segmentation] if segments_too else ())):
            node.HardenTransform()
        for measured in (False, True):
            for row in (2, 3):
                panel.row(row)
                assert np.allclose(views(), centre(row) + np.array([30.0, -40.0, 50.0]), atol=STEP)
            panel.click("uncertainButton")
            assert np.allclose(views(), UNCERTAIN[0] + np.array([30.0, -40.0, 50.0]), atol=8)
            if not measured:
                panel.click("measureButton")
        panel.click("diameterButton")
        line = slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")[0]
        ends = np.mean([line.GetNthControlPointPositionWorld(k) for k in range(2)], axis=0)
        assert np.allclose(ends, centre(2) + np.array([30.0, -40.0, 50.0]), atol=STEP)

    def test_the_places_are_found_when_the_ct_is_gone(self, done, views):
        slicer.mrmlScene.RemoveNode(done.parameters.ct)
        done.desktop.settle()
        done.row(1)
        assert np.allclose(views(), centre(1), atol=STEP)
        assert not done.ui.measureButton.isEnabled()

    @pytest.mark.parametrize("mark", [".", ",", 44], ids=["English", "German", "German, as Qt 5 in Slicer tells it"])
    def test_copied_numbers_are_written_as_the_system_writes_them(self, done, monkeypatch, mark):
        """A German Excel takes 12.5 for a day in May."""
        import qt

        language = {".": QtCore.QLocale("en_US"), ",": QtCore.QLocale("de_DE")}
        system = language.get(mark) or types.SimpleNamespace(decimalPoint=lambda: mark)
        monkeypatch.setattr(qt, "QLocale", types.SimpleNamespace(system=lambda: system), raising=False)
        done.click("copyTableButton")
        lines = [line.split("\t") for line in done.desktop.application.clipboard().text().splitlines()]
        assert lines[0] == ["Structure", "Volume (ml)", "Length (mm)", "Mean HU", "Certainty"]
        shown = done.table()
        assert "." in shown[0][1]
        assert lines[1:] == [[row[0], row[1].replace(".", "." if mark == "." else ","), *row[2:]] for row in shown]

    def test_save(self, done, tmp_path):
        path = tmp_path / "täble.csv"
        done.desktop.answers = [path]
        done.click("saveTableButton")
        rows = list(csv.DictReader(path.open(encoding="utf-8")))
        assert [row["structure"] for row in rows] == [row[0] for row in done.table()]
        assert {row["case"] for row in rows} == {"CT"}
        assert {row["corrected_by_hand"] for row in rows} == {"no"}
        tumor = [float(rows[2][f"centre_{axis}_mm"]) for axis in "ras"]
        assert np.allclose(tumor, centre(2), atol=STEP)
        assert float(rows[2]["volume_ml"]) == pytest.approx(float(done.table()[2][1]), abs=0.06)

    @pytest.mark.parametrize(("given", "file"), [("table", "table.csv"), ("table.CSV", "table.CSV")])
    def test_the_name_that_is_proposed_can_be_a_files_and_gets_its_ending(
        self, done, tmp_path, monkeypatch, given, file
    ):
        import qt

        proposed = []
        slicer.mrmlScene.SetRootDirectory(str(tmp_path))  # where Slicer's own Save goes
        done.parameters.segmentation.SetName("4: Abdomen 1.0/venous kidneys")

        def asked(_parent, _title, name, _kinds):
            proposed.append(name)
            return str(tmp_path / given)

        monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", asked)
        done.click("saveTableButton")
        assert proposed == [str(tmp_path / "4_ Abdomen 1.0_venous kidneys.csv")]
        assert [path.name for path in tmp_path.glob("table*")] == [file]

    def test_save_without_the_ct(self, done, tmp_path):
        slicer.mrmlScene.RemoveNode(done.parameters.ct)
        done.desktop.settle()
        path = tmp_path / "table.csv"
        done.desktop.answers = [path]
        done.click("saveTableButton")
        assert {row["case"] for row in csv.DictReader(path.open(encoding="utf-8"))} == {"CT"}
        assert not done.shown("errorFrame")

    def test_save_where_nothing_can_be_written_is_told(self, done, tmp_path):
        done.desktop.answers = [tmp_path / "nowhere" / "table.csv"]
        done.click("saveTableButton")
        assert "does not exist" in done.text("errorLabel")

    def test_a_dialog_that_is_cancelled_saves_nothing(self, done):
        done.desktop.answers = [""]
        done.click("saveTableButton")
        assert not done.shown("errorFrame")

    def test_a_cut_kidney_is_told_as_more_than(self, ready):
        from dataclasses import replace

        ready.segment()
        structures = [replace(one, touches_border=True) for one in ready.panel.results.structures]
        ready.panel.results._show(structures)
        assert all(row[1].startswith("> ") and row[2].startswith("> ") for row in ready.table())
        hints = [ready.ui.resultsTable.item(0, column).toolTip() for column in range(1, 5)]
        assert hints == [*["Cut by the edge of the scan: a lower bound."] * 2, "", ""]

    def test_each_row_has_its_segments_colour_and_tumors_stripes(self, done):
        from wpunet.labels import LEFT_KIDNEY_LABEL, RIGHT_KIDNEY_LABEL, TUMOR_LABEL

        labels = (RIGHT_KIDNEY_LABEL, LEFT_KIDNEY_LABEL, TUMOR_LABEL, TUMOR_LABEL)
        for row, label in enumerate(labels):
            picture = done.ui.resultsTable.item(row, 0).icon().pixmap(14, 14).toImage()
            colours = {picture.pixelColor(x, y).getRgb()[:3] for x in range(14) for y in range(14)}
            assert label.colour in colours
            assert (len(colours) > 1) == (label is TUMOR_LABEL)


class TestCysts:
    def test_a_cyst_has_a_row_a_colour_and_a_segment_of_its_own(self, panel, add_ct, views):
        from wpunet.labels import CYST_LABEL

        panel.choose("ct", add_ct(cyst=True))
        panel.segment()
        assert [row[0] for row in panel.table()][4:] == ["left cyst"]
        assert panel.text("infoLabel").endswith("Kidneys: 2, tumors: 2, cysts: 1.")
        picture = panel.ui.resultsTable.item(4, 0).icon().pixmap(14, 14).toImage()
        assert picture.pixelColor(7, 7).getRgb()[:3] == CYST_LABEL.colour
        panel.row(4)
        assert np.allclose(views(), CYST[1], atol=STEP)
        before = panel.table()
        panel.click("measureButton")
        before[4][0] = "? left cyst"  # -300 HU are fat, which the stand-in does not judge
        assert [row[:4] for row in panel.table()] == [row[:4] for row in before]

    def test_without_one_there_is_an_empty_segment_that_is_in_nobodys_way(self, done):
        segments = done.parameters.segmentation.GetSegmentation()
        assert segments.GetSegment("cyst").GetName() == "kidney cyst"
        assert "cyst" not in str(done.table()) + done.text("infoLabel")
        segments.RemoveSegment("cyst")  # as in a scene that was saved before there were any
        done.segment()
        assert not done.desktop.asked
        assert segments.GetSegment("cyst") is not None


class TestWalk:
    def test_tumors_from_large_to_small_and_round(self, done, views):
        for ball, name in ((2, "right tumor 1"), (3, "left tumor 2"), (2, "right tumor 1")):
            done.click("nextTumorButton")
            assert np.allclose(views(), centre(ball), atol=STEP)
            assert name in done.text("placeLabel")
        done.click("previousTumorButton")
        assert np.allclose(views(), centre(3), atol=STEP)

    def test_previous_begins_with_the_smallest(self, done, views):
        done.click("previousTumorButton")
        assert np.allclose(views(), centre(3), atol=STEP)

    def test_the_uncertain_place_from_the_volume(self, ready, views):
        ready.choose("uncertainty", True)
        ready.segment()
        ready.click("uncertainButton")
        assert np.allclose(views(), UNCERTAIN[0], atol=8)
        assert "Uncertain place 1 of" in ready.text("placeLabel")

    def test_without_the_volume_the_least_certain_structure(self, done, views):
        from dataclasses import replace

        found = done.panel.results.structures
        done.panel.results._show([replace(one, certainty=0.9 - 0.1 * k) for k, one in enumerate(found)])
        done.click("uncertainButton")
        assert np.allclose(views(), centre(3), atol=STEP)
        done.click("uncertainButton")
        assert np.allclose(views(), centre(2), atol=STEP)

    def test_a_volume_that_was_removed_is_not_asked(self, ready, views):
        ready.choose("uncertainty", True)
        ready.segment()
        role = ready.parameters.segmentation.GetNodeReference("WPUNetSegment.Uncertainty")
        slicer.mrmlScene.RemoveNode(role)
        ready.click("uncertainButton")
        assert "certain" in ready.text("placeLabel")

    def test_places_lie_apart_and_the_most_uncertain_comes_first(self, desktop, module):
        from wpunet.places import APART_MM
        from WPUNetSegmentLib.review import uncertain_places

        values = np.zeros((40, 60, 60), np.float32)
        values[10:14, 20:24, 30:34] = 0.5
        values[15:18, 24:28, 30:34] = 0.4  # too near to be a place of its own
        values[30:34, 40:44, 50:54] = 0.9
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        places = uncertain_places(values, affine)
        points = np.array([place.ras for place in places])
        assert np.allclose(points[0], [103, 83, 63], atol=8)
        assert np.allclose(points[1], [63, 43, 23], atol=8)
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        assert apart[~np.eye(len(points), dtype=bool)].min() >= APART_MM

    def test_nothing_is_uncertain_in_an_empty_map(self, desktop, module):
        from WPUNetSegmentLib.review import uncertain_places

        assert uncertain_places(np.zeros((3, 3, 3), np.float32), np.eye(4)) == []


class TestDiameters:
    def lengths(self):
        lines = slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        return {line.GetName(): f"{line.GetMeasurement('length').GetValue():.0f}" for line in lines}

    def test_come_and_go_on_request(self, done):
        assert self.lengths() == {}
        done.click("diameterButton")
        assert self.lengths() == {row[0]: row[2] for row in done.table()[2:]}
        done.segment()
        assert done.ui.diameterButton.isChecked()
        assert len(self.lengths()) == 2
        for line in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"):  # by the user, in the module Data
            slicer.mrmlScene.RemoveNode(line)
        done.click("diameterButton")
        assert len(self.lengths()) == 2
        assert done.ui.diameterButton.isChecked()
        done.click("diameterButton")
        assert self.lengths() == {}
        assert not done.ui.diameterButton.isChecked()

    def test_follow_the_segmentation_that_is_chosen_and_what_is_measured(self, done):
        done.click("diameterButton")
        segmentation = done.parameters.segmentation
        done.choose("segmentation", None)
        assert not done.ui.diameterButton.isChecked()
        assert not done.ui.diameterButton.isEnabled()
        done.choose("segmentation", segmentation)
        assert done.ui.diameterButton.isChecked()
        segmentation.GetSegmentation().RemoveSegment("tumor")
        done.desktop.settle()
        done.click("measureButton")
        assert self.lengths() == {}
        assert not done.ui.diameterButton.isEnabled()
        assert not done.ui.diameterButton.isChecked()


def test_the_ct_is_shown_where_no_view_shows_it(ready, add_ct, monkeypatch):
    red, green = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(2))
    other, ct = add_ct("another").GetID(), ready.parameters.ct.GetID()
    fitted, show = [], slicer.util.setSliceViewerLayers
    monkeypatch.setattr(
        slicer.util, "setSliceViewerLayers", lambda **given: (fitted.append(given["fit"]), show(**given))
    )
    for view in (red, green):
        view.SetBackgroundVolumeID(other)
        view.SetForegroundVolumeID(other)
    ready.segment()
    assert [view.GetBackgroundVolumeID() for view in (red, green)] == [ct, ct]
    assert [view.GetForegroundVolumeID() for view in (red, green)] == [None, None]
    assert fitted == [True]  # the two may lie apart
    red.SetBackgroundVolumeID(other)  # the user compares the two
    ready.segment()
    assert [view.GetBackgroundVolumeID() for view in (red, green)] == [other, ct]
    assert fitted == [True]


def test_the_3d_views_are_set_to_a_new_result_and_stay_where_the_user_turned_them(ready, monkeypatch):
    turned = []
    window = types.SimpleNamespace(mrmlSliceLogics=vtk.vtkCollection)
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: window)
    monkeypatch.setattr(slicer.util, "resetThreeDViews", lambda: turned.append(ready.parameters.segmentation))
    ready.segment()
    assert len(turned) == 1
    ready.segment()
    assert len(turned) == 1
