"""Stand-ins for the Python parts of Slicer that the module imports: no kinder than the real ones, where they differ.

With ``SLICER_SOURCE`` the real ones run instead: see ``real_sources.py``.
"""

from __future__ import annotations

import types
import unittest
from pathlib import Path
from typing import Any

import slicer

from . import parameter_nodes


def modules() -> dict[str, Any]:
    """What stands at which name of ``sys.modules``."""
    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = SampleDataLogic
    i18n = types.ModuleType("slicer.i18n")
    i18n.translate = lambda context, text: slicer.app.translate(context, text)
    i18n.tr = lambda text: slicer.app.translate("", text)
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    for cls in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(scripted, cls.__name__, cls)
    return {
        "SampleData": sample_data,
        "slicer.i18n": i18n,
        "slicer.ScriptedLoadableModule": scripted,
        "slicer.parameterNodeWrapper": parameter_nodes,
    }


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()
        self.developerMode = False

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    messageDelay = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(arguments or ("runTest",)))

    def delayDisplay(self, text: str, *_: Any) -> None:
        pass


class SampleDataSource:
    """Lists of one length, or an error, as in Slicer: what is not given stays None and has no length."""

    def __init__(self, uris: Any, fileNames: Any, nodeNames: Any, **given: Any) -> None:
        parts = (uris, fileNames, nodeNames)
        self.uris, self.fileNames, self.nodeNames = ([part] for part in parts) if isinstance(uris, str) else parts
        vars(self).update(given)
        if not len(self.uris) == len(self.fileNames) == len(self.nodeNames):
            raise ValueError("All fields of sample data source must have the same length")


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: Any = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: Any = None,
    ) -> None:
        source = SampleDataSource(
            uris,
            fileNames,
            nodeNames,
            sampleName=sampleName,
            customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName,
        )
        sources = vars(slicer.modules).setdefault("sampleDataSources", {})
        sources.setdefault(category, []).append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        sources = vars(slicer.modules).setdefault("sampleDataSources", {})
        return sources if category is None else sources.get(category, [])
