"""What the user chooses, kept in the scene: inputs and options of one segmentation."""

from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from wpunet.clean import CleanRules

from .run import RunOptions

DEVICES = ("auto", "cpu", "cuda", "mps")


@parameterNodeWrapper
class Parameters:
    """Each name is the ``SlicerParameterName`` of one widget in the panel.

    ct, segmentation: to read and to write; without a segmentation a new one is made
    region:           look only inside this box
    device:           what runs the network
    min_tumor_ml:       smaller tumors are left out
    sides:            left and right kidney as separate segments
    parenchyma:       kidneys are their parenchyma alone, without the renal sinus
    flips:            average with mirrored slices
    full:             whole field of view, without the quick search
    uncertainty:      keep the uncertainty as a volume
    """

    ct: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    region: vtkMRMLMarkupsROINode
    device: Annotated[str, Choice(DEVICES)] = "auto"
    min_tumor_ml: Annotated[float, WithinRange(0.0, 50.0)] = CleanRules.min_tumor_ml
    sides: bool = True
    parenchyma: bool = False
    flips: bool = True
    full: bool = False
    uncertainty: bool = False


def options_of(chosen: Parameters, surface: bool = True) -> RunOptions:
    """What a run is asked for; ``surface``: show its result in 3D."""
    return RunOptions(
        device=chosen.device,
        flips=chosen.flips,
        parenchyma=chosen.parenchyma,
        full=chosen.full,
        sides=chosen.sides,
        min_tumor_ml=chosen.min_tumor_ml,
        uncertainty=chosen.uncertainty,
        region=chosen.region,
        surface=surface,
    )
