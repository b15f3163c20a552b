"""A result as a run makes it, of labels that a test made; and an engine that finds these labels in every CT."""

import numpy as np
from wpunet import bundle, files, report
from wpunet.labels import LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
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


def blocks(shape):
    """Labels (slice, row, column) of the engine: two kidneys, two tumors on the left one; no symmetry anywhere."""
    labels = np.zeros(shape, np.uint8)
    depth, rows, columns = (n // 10 for n in shape)
    labels[3 * depth : 7 * depth, 4 * rows : 7 * rows, columns : 3 * columns] = RIGHT_KIDNEY
    labels[2 * depth : 8 * depth, 5 * rows : 7 * rows, 6 * columns : 9 * columns] = LEFT_KIDNEY
    labels[2 * depth : 4 * depth, 6 * rows : 7 * rows, 6 * columns : 7 * columns] = TUMOR
    labels[6 * depth : 8 * depth, 5 * rows : 7 * rows, 8 * columns : 9 * columns] = TUMOR
    return labels


class Blocks:
    """An engine that finds ``blocks`` in every CT."""

    def segment_file(self, path, options, monitor, series):
        volume = files.read(path, series)
        return result_of(volume, blocks(volume.hu.shape))
