"""What was measured, in the scene: a table beside the segmentation, and a line for each lesion's largest diameter."""

from dataclasses import replace

import numpy as np
import pytest

from Testing.slicer.conftest import BALLS, turned
from Testing.slicer.places import paint

TABLE, LINES = "WPUNetSegment.Measures", "WPUNetSegment.Diameters"
MOVED = turned((0, 0, 1), 30) + np.array([[0, 0, 0, 20.0], [0, 0, 0, -30.0], [0, 0, 0, 40.0], [0, 0, 0, 0]])


def column(table, name):
    values = table.GetTable().GetColumnByName(name)
    return [values.GetValue(k) for k in range(values.GetNumberOfValues())]


def lines(segmentation):
    return [segmentation.GetNthNodeReference(LINES, k) for k in range(segmentation.GetNumberOfNodeReferences(LINES))]


def measured(ct, segmentation):
    from WPUNetSegmentLib import measurement, measures

    found = measurement.measure_segments(ct, segmentation)
    measurement.remember(ct, segmentation, found)
    measures.renew(segmentation)
    return found


def test_a_table_beside_the_segmentation_tells_what_was_measured_last(add_ct, logic, scene):
    ct = add_ct(name="0012")
    segmentation = logic.process(ct)
    told = logic.report(segmentation)["structures"]
    table = segmentation.GetNodeReference(TABLE)
    assert table.GetName() == "0012 kidneys measures"
    assert set(column(table, "case")) == {"0012"}  # a name, not the number 12
    assert column(table, "structure") == [one["name"] for one in told]
    assert column(table, "volume_ml") == pytest.approx([one["volume_ml"] for one in told])
    assert np.isnan(column(table, "diameter_mm")[0])  # of a kidney
    assert set(column(table, "corrected_by_hand")) == {"no"}
    paint(segmentation, "tumor", ct)
    nodes = scene.GetNumberOfNodes()
    found = measured(ct, segmentation)
    assert segmentation.GetNodeReference(TABLE) is table
    assert column(table, "volume_ml") == pytest.approx([one.volume_ml for one in found], abs=0.001)
    assert set(column(table, "corrected_by_hand")) == {"yes"}
    logic.process(ct, segmentation, may_overwrite=lambda _names: True)
    assert column(table, "volume_ml") == pytest.approx([one["volume_ml"] for one in told])
    logic.undo(segmentation)
    assert column(table, "volume_ml") == pytest.approx([one.volume_ml for one in found], abs=0.001)
    assert scene.GetNumberOfNodes() == nodes


@pytest.mark.parametrize("transform", [None, MOVED], ids=["no transform", "under a transform"])
@pytest.mark.parametrize("kind", ["square", "axial", "left-handed", "coronal", "tilted", "oblique"])
def test_what_is_as_the_engine_left_it_keeps_its_certainty(add_ct, logic, kind, transform):
    """Also where pixels are not square, and where the engine resampled the CT."""
    ct = add_ct(kind, transform=transform)
    segmentation = logic.process(ct)
    paint(segmentation, "tumor", ct)
    known = {one.name: one.certainty for one in measured(ct, segmentation)}
    painted = known.keys() - {"right kidney", "left kidney", "right tumor 1", "left cyst"}
    assert {known[name] for name in painted} == {None}
    assert {known[name] for name in known.keys() - painted} == {0.9}


def test_where_nothing_is_found_there_is_no_table(add_ct, logic):
    import slicer

    ct = add_ct()
    segmentation = logic.process(ct)
    hu = slicer.util.arrayFromVolume(ct)
    hu[hu != -1000] = 0
    logic.process(ct, segmentation)
    assert segmentation.GetNodeReference(TABLE) is None


def test_what_was_made_of_a_segmentation_that_is_deleted_stays_and_the_next_one_gets_its_own(add_ct, logic, scene):
    """As Slicer's own tables and models do; they may have been kept on purpose."""
    from WPUNetSegmentLib import diameters, measures
    from WPUNetSegmentLib.run import RunOptions
    from WPUNetSegmentLib.scene import UNCERTAINTY

    ct = add_ct()
    segmentation = logic.process(ct, options=RunOptions(uncertainty=True))
    diameters.draw(segmentation, measures.of(segmentation).structures)
    made = [*(segmentation.GetNodeReference(role) for role in (TABLE, UNCERTAINTY)), *lines(segmentation)]
    volumes = column(made[0], "volume_ml")
    scene.RemoveNode(segmentation)
    other = logic.process(ct, options=RunOptions(uncertainty=True))
    paint(other, "tumor", ct)
    measured(ct, other)
    assert all(node.GetScene() is scene for node in made)
    assert column(made[0], "volume_ml") == volumes
    assert {other.GetNodeReference(role) for role in (TABLE, UNCERTAINTY)}.isdisjoint(made)


@pytest.mark.parametrize("emptied", ["tumor", "all"])  # a layer of which nothing is left
def test_what_was_erased_to_the_last_voxel_is_measured_as_nothing(add_ct, logic, emptied):
    import slicer

    ct = add_ct()
    segmentation = logic.process(ct)
    segments = segmentation.GetSegmentation()
    nothing = np.zeros_like(slicer.util.arrayFromVolume(ct), np.uint8)
    for key in segments.GetSegmentIDs() if emptied == "all" else [emptied]:
        slicer.util.updateSegmentBinaryLabelmapFromArray(nothing, segmentation, key, ct)
    found = [one.name for one in measured(ct, segmentation)]
    assert found == ([] if emptied == "all" else ["right kidney", "left kidney", "left cyst"])


@pytest.mark.parametrize("transform", [None, MOVED], ids=["no transform", "under a transform"])
def test_lines_lie_where_the_diameters_were_measured(add_ct, logic, scene, transform):
    from WPUNetSegmentLib import diameters, measures

    segmentation = logic.process(add_ct(transform=transform))
    nodes = scene.GetNumberOfNodes()
    diameters.draw(segmentation, measures.of(segmentation).structures)
    told = [one for one in logic.report(segmentation)["structures"] if one.get("diameter")]
    assert [line.GetName() for line in lines(segmentation)] == [one["name"] for one in told]
    for line, one, key in zip(lines(segmentation), told, ("tumor", "cyst"), strict=True):
        centre, radius = BALLS[key]
        assert line.GetMeasurement("length").GetValue() == pytest.approx(one["diameter"]["mm"], abs=0.02)
        if transform is not None:
            centre = (transform @ [*centre, 1.0])[:3]
        for k in range(2):
            assert np.linalg.norm(np.array(line.GetNthControlPointPositionWorld(k)) - centre) == pytest.approx(
                radius, abs=4
            )
        assert line.GetLocked()
    diameters.draw(segmentation, measures.of(segmentation).structures)
    assert len(lines(segmentation)) == len(told)
    cut = [replace(one, touches_border=one.kind == "cyst") for one in measures.of(segmentation).structures]
    diameters.draw(segmentation, cut)
    assert [line.GetName() for line in lines(segmentation)] == ["right tumor", "left cyst (cut)"]
    diameters.draw(segmentation, [])
    assert scene.GetNumberOfNodes() == nodes
    assert not diameters.shown(segmentation)


def test_lines_lie_where_the_ct_lies_though_its_segments_were_hardened(add_ct, logic):
    from WPUNetSegmentLib import diameters

    ct = add_ct(transform=MOVED)
    segmentation = logic.process(ct)
    segmentation.HardenTransform()
    assert segmentation.GetParentTransformNode() is None
    diameters.draw(segmentation, measured(ct, segmentation))
    ends = [lines(segmentation)[0].GetNthControlPointPositionWorld(k) for k in range(2)]
    centre, radius = BALLS["tumor"]
    for end in ends:
        apart = np.linalg.norm(np.array(end) - (MOVED @ [*centre, 1.0])[:3])
        assert apart == pytest.approx(radius, abs=5)


def test_lines_have_a_folder_that_goes_with_them_unless_there_is_something_else_in_it(add_ct, logic, scene):
    import slicer
    from WPUNetSegmentLib import diameters, measures
    from WPUNetSegmentLib import scene as ours

    ct = add_ct()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.CreateItem(study, ct)
    segmentation = logic.process(ct)
    items = hierarchy.GetNumberOfItems()
    found = measures.of(segmentation).structures
    for kept, by_hand in ((False, False), (False, True), (True, False)):
        diameters.draw(segmentation, found)
        (folder,) = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(line)) for line in lines(segmentation)}
        assert hierarchy.GetItemParent(folder) == study
        assert hierarchy.GetItemName(folder) == "CT kidneys diameters"
        if kept:
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(ct), folder)
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(lines(segmentation)[0]), study)
        if by_hand:
            for line in lines(segmentation):
                ours.remove(line)  # in the module Data; Slicer takes its place in the hierarchy away
        diameters.draw(segmentation, [])
        assert hierarchy.GetNumberOfItems() == items + kept
    assert ct.GetScene() is scene


def test_a_run_and_a_measurement_draw_lines_anew_that_are_there(add_ct, logic):
    from WPUNetSegmentLib import diameters, measures

    ct = add_ct()
    segmentation = logic.process(ct)
    diameters.draw(segmentation, measures.of(segmentation).structures)
    first = [line.GetMeasurement("length").GetValue() for line in lines(segmentation)]
    paint(segmentation, "tumor", ct)
    found = [one.diameter.mm for one in measured(ct, segmentation) if one.diameter]
    assert [line.GetMeasurement("length").GetValue() for line in lines(segmentation)] == pytest.approx(found, abs=0.02)
    assert found != pytest.approx(first, abs=0.02)
    logic.process(ct, segmentation, may_overwrite=lambda _names: True)
    assert [line.GetMeasurement("length").GetValue() for line in lines(segmentation)] == pytest.approx(first, abs=0.02)


def test_table_and_lines_survive_an_mrb(add_ct, logic, scene, tmp_path):
    import slicer
    from WPUNetSegmentLib import diameters, measures

    segmentation = logic.process(add_ct())
    diameters.draw(segmentation, measures.of(segmentation).structures)
    volumes = column(segmentation.GetNodeReference(TABLE), "volume_ml")
    names = [line.GetName() for line in lines(segmentation)]
    path = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(path, None)
    scene.Clear(False)
    assert scene.ReadFromMRB(path)
    (again,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert column(again.GetNodeReference(TABLE), "volume_ml") == pytest.approx(volumes)
    assert [line.GetName() for line in lines(again)] == names
    diameters.draw(again, [])
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsStorageNode")
