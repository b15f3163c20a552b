"""The phantom lives in the engine, so that an installed package has it too."""

from wpunet.phantom import PHASES, main, make, save_nifti

__all__ = ["PHASES", "main", "make", "save_nifti"]
