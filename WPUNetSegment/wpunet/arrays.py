"""One arithmetic for two kinds of arrays: NumPy's, and PyTorch's where a GPU runs the network, so that they stay there.

Code that takes an Array uses what both kinds share: operators, methods of the same name, and functions of ``library``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

Array = Any  # a NumPy array or a PyTorch tensor on any device


def library(array: Array) -> Any:
    """``numpy`` or ``torch``, whichever an array is of."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def on_host(array: Array) -> np.ndarray:
    """The same numbers as a NumPy array."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def float32(array: Array) -> Array:
    """The same numbers as float32; the array itself where it is so already."""
    numbers = library(array)
    return numbers.asarray(array, dtype=numbers.float32)


def mirrored(array: Array) -> Array:
    """The last axis reversed, in one piece."""
    return np.ascontiguousarray(array[..., ::-1]) if isinstance(array, np.ndarray) else array.flip(-1)
