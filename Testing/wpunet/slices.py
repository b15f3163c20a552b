"""The patient as DICOM: one file a slice, or one file of many frames; each may be changed on its way."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from Testing.wpunet import patient

UID = "1.2.826.0.1.3680043.8.498.15"
CT, ENHANCED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"


def one_slice(pixels, k, matrix=None, series=".1"):
    """Slice ``k`` with the HU ``pixels`` on a grid given by ``patient.affine_lps``, as CT Image Storage."""
    matrix = patient.affine_lps() if matrix is None else matrix
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CT
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"{UID}{series}.{k + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = UID, UID + series, UID + ".9"
    ds.Modality, ds.SeriesDescription, ds.SeriesNumber, ds.InstanceNumber = "CT", "abdomen", 2, k + 1
    ds.PatientID, ds.PatientName, ds.PatientPosition, ds.ImageType = "X", "X", "HFS", ["ORIGINAL", "PRIMARY", "AXIAL"]
    across, down = (matrix[:3, axis] / np.linalg.norm(matrix[:3, axis]) for axis in (0, 1))
    ds.ImagePositionPatient = [f"{v:.6f}" for v in matrix[:3] @ [0, 0, k, 1]]
    ds.ImageOrientationPatient = [f"{v:.9f}" for v in (*across, *down)]
    ds.PixelSpacing = [f"{np.linalg.norm(matrix[:3, axis]):.6f}" for axis in (1, 0)]
    ds.SliceThickness = "5"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
    store(ds, pixels)
    return ds


def store(ds, pixels, kind="<i2", intercept=-1024, slope=1.0):
    """The pixels of a slice, HU, in another representation."""
    ds.RescaleIntercept, ds.RescaleSlope = intercept, slope
    kind = np.dtype(kind)
    ds.BitsAllocated = ds.BitsStored = 8 * kind.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(kind.kind == "i")
    info = np.iinfo(kind)
    stored = np.rint((pixels.astype(float) - intercept) / slope)
    ds.PixelData = np.clip(stored, info.min, info.max).astype(kind).tobytes()


def write_series(folder, change=lambda ds, k: None, matrix=None, hu=None, series=".1", name="IM{:04d}.dcm"):
    """The patient in ``folder``, one file a slice; ``change(ds, k)`` may alter each, or leave it out with False."""
    folder.mkdir(parents=True, exist_ok=True)
    hu = patient.hu(matrix) if hu is None else hu
    for k, pixels in enumerate(hu):
        ds = one_slice(pixels, k, matrix, series)
        if change(ds, k) is not False:
            ds.save_as(folder / name.format(k), enforce_file_format=True)
    return folder


def enhanced(hu=None, order=None, rescale=lambda k: (1.0, -1024.0), change=lambda frame, k: None):
    """The patient as one Enhanced CT; frames in ``order``, each with its own (slope, intercept)."""
    hu = patient.hu() if hu is None else hu
    matrix, order = patient.affine_lps(), range(len(hu)) if order is None else order
    ds = one_slice(hu[0], 0)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, ds.SliceThickness
    plane.ImageOrientationPatient = ds.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del ds[tag]
    del ds.RescaleIntercept, ds.RescaleSlope
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ENHANCED
    frames, pixels = [], []
    for k in order:
        slope, intercept = rescale(k)
        value, position, frame = Dataset(), Dataset(), Dataset()
        value.RescaleIntercept, value.RescaleSlope, value.RescaleType = intercept, slope, "HU"
        position.ImagePositionPatient = [f"{v:.6f}" for v in matrix[:3] @ [0, 0, k, 1]]
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = Sequence([position]), Sequence([value])
        change(frame, k)
        frames.append(frame)
        pixels.append(np.rint((hu[k].astype(float) - intercept) / slope).astype("<i2").tobytes())
    ds.NumberOfFrames = len(frames)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(frames)
    ds.PixelData = b"".join(pixels)
    return ds
