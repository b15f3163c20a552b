"""CT series as a scanner's archive gives them, with a patient and a study, in any direction: one file a slice."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

# Columns: LPS directions along a row, down a column and from slice to slice
AXIAL, AXIAL_UPWARDS = np.diag([1.0, 1, -1]), np.eye(3)
CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
SAGITTAL = np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]])


def write(folder, hu, spacing, directions=AXIAL, origin=(-40.0, -30.0, 100.0), **changes):
    """One file a slice of ``hu`` (slice, row, column); spacing in mm likewise; ``changes``: tags by keyword."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    study, series, place = generate_uid(), generate_uid(), generate_uid()
    for k, values in enumerate(hu):
        image = _patient(study, series)
        image.FrameOfReferenceUID = place
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.InstanceNumber, image.AcquisitionNumber = k + 1, 1
        image.ImagePositionPatient = list(np.array(origin) + directions[:, 2] * spacing[0] * k)
        image.ImageOrientationPatient = [*directions[:, 0], *directions[:, 1]]
        image.PixelSpacing, image.SliceThickness = list(spacing[1:]), spacing[0]
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
        image.KVP = 120
        _pixels(image, values)
        for keyword, value in changes.items():
            if value is None:
                delattr(image, keyword)
            else:
                setattr(image, keyword, value)
        _save(image, folder / f"{(k * 7) % 101:03}_{k}.dcm")  # no order by name
    return folder


def _patient(study, series):
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.PatientName, image.PatientID = "Müller^Anna", "17"
    image.PatientBirthDate, image.PatientSex = "19500101", "F"
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.StudyDate, image.StudyTime, image.StudyID, image.AccessionNumber = "20240102", "101500", "1", "A1"
    image.ReferringPhysicianName = ""
    image.Modality, image.SeriesNumber, image.Manufacturer = "CT", 4, "Phantom"
    image.PatientPosition, image.PositionReferenceIndicator = "HFS", ""
    return image


def _pixels(image, hu):
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = hu.shape[-2:]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.PixelData = (hu.astype(np.int32) + 1024).clip(0, 65535).astype("<u2").tobytes()


def _save(image, path):
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(path, enforce_file_format=True)
