"""The icon that ships is the one that the script draws, and it can be read when it is small."""

import numpy as np
import pytest
from PIL import Image

from . import icon
from .desktop import MODULE

SHIPPED = MODULE.parent / "Resources" / "Icons" / "WPUNetSegment.png"


def test_the_shipped_icon_is_the_scripts():
    shipped = np.asarray(Image.open(SHIPPED), float)
    assert shipped.shape == (128, 128, 4)
    assert np.abs(shipped - np.asarray(icon.draw(128), float)).mean() < 1.0


@pytest.mark.parametrize("size", [16, 24, 128])
def test_two_kidneys_and_a_tumor_can_be_told_apart(size):
    """Two red bodies with nothing between them, and a green one on the patient's left."""
    from scipy import ndimage

    picture = np.asarray(icon.draw(size), int)
    red, green, _blue, solid = np.moveaxis(picture, 2, 0)
    kidneys, count = ndimage.label((red > green + 60) & (solid > 128))
    sizes = ndimage.sum(kidneys > 0, kidneys, range(1, count + 1))
    assert (sizes > 0.06 * size * size).sum() == 2
    tumor = (green > red + 40) & (solid > 128)
    assert tumor.sum() > 0.04 * size * size
    assert np.argwhere(tumor).mean(0)[1] > size / 2
