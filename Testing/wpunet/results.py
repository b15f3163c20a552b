"""A result as a run makes it, of labels that a test made."""

import numpy as np
from wpunet import bundle, report
from wpunet.measure import measure
from wpunet.segment import Result
from wpunet.structure import Caution


def result_of(volume, labels, warnings=(), doubt=None):
    """The result whose answer is ``labels`` (with sides, on the volume's grid); doubt: uncertainty, 0 to 255."""
    doubt = np.full(labels.shape, 51, np.uint8) if doubt is None else doubt
    structures = measure(labels, volume.hu, volume.affine, lambda _: 0.9)
    told = report.Report.of(
        volume,
        structures,
        warnings=[Caution("input", text) for text in warnings],
        notes=(),
        weights=bundle.load(),
        runtime="a test",
        seconds={},
    )
    return Result(volume, labels, doubt, told)
