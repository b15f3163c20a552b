"""A result as a run makes it, of labels that a test made."""

import numpy as np
from wpunet import bundle, report
from wpunet.measure import measure
from wpunet.segment import Result


def result_of(volume, labels, warnings=(), doubt=None):
    """The result whose answer is ``labels`` (with sides, on the volume's grid); doubt: uncertainty, 0 to 255."""
    doubt = np.full(labels.shape, 51, np.uint8) if doubt is None else doubt
    structures = measure(labels, volume.hu, volume.affine, doubt)
    told = report.Report.of(
        volume, structures, warnings=warnings, notes=(), weights=bundle.load(), runtime="a test", seconds={}
    )
    return Result(volume, labels, doubt, told)
