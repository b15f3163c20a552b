"""3D Slicer's scene without 3D Slicer: slicer-core's real classes and the few globals that the application sets."""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path

AVAILABLE = importlib.util.find_spec("slicer") is not None
MISSING = "needs slicer-core: pip install 'trame-slicer[standalone]'"


def start(temporary: Path) -> None:
    """Give the package ``slicer`` a new empty scene, the modules' logics and a folder for temporary files.

    Names are the application's own, so that code made for it runs unchanged: ``slicer.mrmlScene``,
    ``slicer.modules.volumes.logic()``, ``slicer.app.temporaryPath``.
    """
    import slicer

    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    colors = application.GetColorLogic()
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    application.SetModuleLogic("Colors", colors)
    _file_cache(scene, temporary)
    slicer.modules = types.SimpleNamespace(
        terminologies=_module(application, "Terminologies", slicer.vtkSlicerTerminologiesModuleLogic()),
        subjecthierarchy=_module(application, "SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic()),
        volumes=_module(application, "Volumes", slicer.vtkSlicerVolumesLogic()),
        segmentations=_module(application, "Segmentations", slicer.vtkSlicerSegmentationsModuleLogic()),
        markups=_module(application, "Markups", slicer.vtkSlicerMarkupsLogic()),
        sequences=_module(application, "Sequences", slicer.vtkSlicerSequencesLogic()),
    )
    _file_functions()
    slicer.mrmlScene = scene
    slicer.app = types.SimpleNamespace(
        applicationLogic=lambda: application,
        processEvents=lambda: None,
        layoutManager=lambda: None,
        temporaryPath=str(temporary),
    )


def _module(application, name, logic):
    """What ``slicer.modules.<name>`` is to a script: something that has the logic."""
    if name == "Terminologies":
        logic.SetModuleShareDirectory(str(_terminologies()))
    logic.SetMRMLScene(application.GetMRMLScene())
    logic.SetMRMLApplicationLogic(application)
    application.SetModuleLogic(name, logic)
    return types.SimpleNamespace(logic=lambda: logic)


def _terminologies() -> Path:
    """The terminology files that trame-slicer brings along; the wheel of slicer-core has none."""
    import trame_slicer

    return Path(trame_slicer.__file__).parent / "resources" / "terminologies"


def _file_functions() -> None:
    """Loading, saving and leaving as in scripts for the application, whose reader and writer are not here."""
    import slicer

    def load_volume(filename, properties=None):
        path = filename
        if not Path(path).is_file():
            raise RuntimeError(f"Failed to load {path}")
        node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), Path(path).name.split(".")[0], 0)
        if node is None:
            raise RuntimeError(f"Failed to load {path}")
        return node

    def save_node(node, filename, properties=None):
        path = filename
        storage = node.CreateDefaultStorageNode()
        storage.SetFileName(str(path))
        return bool(storage.WriteData(node))

    slicer.util.loadVolume, slicer.util.saveNode = load_volume, save_node
    slicer.util.exit = lambda status=0: None


def _file_cache(scene, temporary: Path) -> None:
    """Reading an .mrb needs it."""
    import slicer

    cache, files = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(temporary))
    cache.SetMRMLScene(scene)
    files.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(files)
