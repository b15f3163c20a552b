"""Where nodes of the scene lie in the world, and what their segments hold."""

import numpy as np


def mask(segmentation, key, volume):
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, volume) > 0


def to_world(node):
    import slicer
    import vtk

    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    return transform


def world_centre(volume, where):
    """Mean place of marked voxels (k, j, i) in the world, RAS mm."""
    from WPUNetSegmentLib.handover import ijk_to_ras

    index = np.argwhere(where).mean(0)[::-1]
    return np.array(to_world(volume).TransformPoint((ijk_to_ras(volume) @ np.append(index, 1.0))[:3]))


def surface_in_world(segmentation, key):
    """Centre and volume in ml of a segment's surface, where its segmentation lies."""
    import vtk

    surface, moved, triangles, mass = (
        vtk.vtkPolyData(),
        vtk.vtkTransformPolyDataFilter(),
        vtk.vtkTriangleFilter(),
        vtk.vtkMassProperties(),
    )
    assert segmentation.GetClosedSurfaceRepresentation(key, surface)
    moved.SetTransform(to_world(segmentation))
    moved.SetInputData(surface)
    triangles.SetInputConnection(moved.GetOutputPort())
    mass.SetInputConnection(triangles.GetOutputPort())
    mass.Update()
    bounds = np.reshape(moved.GetOutput().GetBounds(), (3, 2))
    return bounds.mean(1), mass.GetVolume() / 1000.0


def kept_keys(segmentation):
    return list(segmentation.GetSegmentation().GetSegmentIDs())


def paint(segmentation, key, volume):
    import slicer

    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, volume).copy()
    array[10:12, 10:12, 10:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, key, volume)


def in_sequence(*frames):
    """A sequence (4D CT) of CTs: the volume that shows its frames, and a function to show one, counted from 1."""
    import slicer

    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D CT")
    for index, frame in enumerate(frames):
        sequence.SetDataNodeAtValue(frame, str(index))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())

    def show(number):
        browser.SetSelectedItemNumber(number - 1)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)

    show(1)
    return browser.GetProxyNode(sequence), show
