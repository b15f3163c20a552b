"""The measures of a result as a DICOM measurement report (SR, template TID 1500) that refers to its segmentation.

Each structure has one group for its segment (volume, HU, scores; TID 1411) and one for its lengths with their end
points (TID 1501), both under the tracking UID of the segment. Needs the package highdicom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from . import __version__
from .dicom_seg import MAKER, MODEL, SERIES_NUMBER, UNICODE, coded, label_of, quiet, source_images
from .labels import LEFT, RIGHT
from .report import Report
from .segment import Result
from .structure import CHECK, PARTS, Line, Nephrometry, Structure

SCHEME = "99WPUNET"  # codes for what no public scheme has a word for
MM, ML, CM2, HU, PERCENT = (
    CodedConcept(value, "UCUM", meaning)
    for value, meaning in (
        ("mm", "mm"),
        ("mL", "mL"),
        ("cm2", "square centimeter"),
        ("[hnsf'U]", "Hounsfield unit"),
        ("%", "percent"),
    )
)
POINTS = CodedConcept("{score}", "UCUM", "score")


def own(value: str, meaning: str) -> CodedConcept:
    """A code of our own."""
    return CodedConcept(value, SCHEME, meaning)


COMMENT = codes.DCM.Comment
MEAN, DEVIATION, MAXIMUM = codes.SCT.Mean, codes.SCT.StandardDeviation, codes.SCT.Maximum
ATTENUATION = codes.DCM.AttenuationCoefficient
# What is told of a structure: name of the field, what it is called, unit, how it was derived
NUMBERS = (
    ("volume_ml", codes.SCT.Volume, ML, None),
    ("mean_hu", ATTENUATION, HU, MEAN),
    ("sd_hu", ATTENUATION, HU, DEVIATION),
    ("certainty", codes.DCM.Probability, PERCENT, None),
    ("with_lesions_ml", own("with_lesions", "Volume of kidney with tumors and cysts"), ML, None),
    ("split_percent", own("split", "Share of both kidneys' volume"), PERCENT, None),
    ("cortex_hu", own("cortex", "Median attenuation 1 to 5 mm below the kidney's surface"), HU, None),
    ("medulla_hu", own("medulla", "Median attenuation 8 to 14 mm below the kidney's surface"), HU, None),
    ("excreted_percent", own("excreted", "Share of the kidney that is excreted contrast"), PERCENT, None),
    ("core_hu", own("core", "Mean attenuation at least 2 mm inside the edge"), HU, None),
    ("hu_against_kidney", own("hu_against_kidney", "Attenuation less that of kidney tissue"), HU, None),
    ("contact_cm2", own("contact", "Surface shared with kidney tissue"), CM2, None),
    ("outside_percent", own("outside", "Share of volume outside the kidney's contour"), PERCENT, None),
    ("soft_percent", own("soft", "Share of other soft tissue 2 to 4 mm around it"), PERCENT, None),
    ("gas_percent", own("gas", "Share of gas up to 8 mm around it"), PERCENT, None),
)
LENGTHS = (
    ("length", codes.SCT.Length, None),
    ("width", codes.SCT.Width, None),
    ("thickness", codes.SCT.Depth, None),
    ("diameter", codes.SCT.Diameter, MAXIMUM),
    ("axial_diameter", codes.SCT.LongAxis, None),
    ("axial_perpendicular", codes.SCT.ShortAxis, None),
    ("craniocaudal", codes.DCM.Height, None),
    ("to_sinus", own("to_sinus", "Distance to the renal sinus"), None),
    ("to_surface", own("to_surface", "Distance to the kidney's surface"), None),
)


@quiet()
def measurement_report(result: Result, segmentation: hd.seg.Segmentation) -> hd.sr.Comprehensive3DSR:
    """The report of a result whose segmentation object was made; raises InputError where it cannot be made."""
    images = source_images(result.volume)
    report, place = result.report, str(images[0].FrameOfReferenceUID)
    series = hd.sr.SourceSeriesForSegmentation(str(images[0].SeriesInstanceUID))
    groups: list[Any] = []
    for number, one in enumerate(report.structures, 1):
        segment = segmentation.get_segment_description(number)
        shared = _identity(one, segment, report)
        groups.append(_segment_group(one, segmentation, number, series, report, shared))
        lengths = _lengths(one, place)
        if lengths:
            groups.append(hd.sr.MeasurementsAndQualitativeEvaluations(measurements=lengths, **shared))
    if not groups:
        nothing = hd.sr.QualitativeEvaluation(own("found", "What was found"), own("nothing", "No kidney was found"))
        tracking = hd.sr.TrackingIdentifier(uid=hd.UID(), identifier="whole CT")
        groups.append(hd.sr.MeasurementsAndQualitativeEvaluations(tracking, qualitative_evaluations=[nothing]))
    content = hd.sr.MeasurementReport(
        observation_context=_observer(report),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    about_all = [str(warning) for warning in report.warnings if not warning.about]
    if about_all or report.notes:
        content[0].ContentSequence.append(_told([*about_all, *report.notes]))
    return hd.sr.Comprehensive3DSR(
        evidence=[segmentation, *images],
        content=content,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER + 1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        series_description="Measures of kidneys and tumors",
        specific_character_set=UNICODE,
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name=MAKER, responsible_organization=MAKER)],
    )


def _observer(report: Report) -> hd.sr.ObservationContext:
    """A program, not a person, looked."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=pydicom.uid.generate_uid(entropy_srcs=[MAKER, __version__, report.network_sha256]),
        name=f"{MAKER} {__version__}, {report.network}",
        manufacturer_name=MAKER,
        model_name=MODEL,
        serial_number=report.network_sha256[:16],
    )
    context = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return hd.sr.ObservationContext(observer_device_context=context)


def _identity(one: Structure, segment: hd.seg.SegmentDescription, report: Report) -> dict[str, Any]:
    """What both groups of a structure say: what it is, where, and that it is the segment."""
    label = label_of(one.kind, one.side)
    side = coded(RIGHT if one.side == "right" else LEFT) if one.side else None
    return {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=segment.tracking_uid, identifier=one.name),
        "finding_category": coded(label.category),
        "finding_type": coded(label.type),
        "finding_sites": [hd.sr.FindingSite(coded(label.region or label.type), laterality=side)],
        "algorithm_id": hd.sr.AlgorithmIdentification(name=MAKER, version=__version__, parameters=[report.network]),
    }


def _segment_group(
    one: Structure,
    segmentation: hd.seg.Segmentation,
    number: int,
    series: hd.sr.SourceSeriesForSegmentation,
    report: Report,
    shared: dict[str, Any],
) -> hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    segment = hd.sr.ReferencedSegment(
        segmentation.SOPClassUID, segmentation.SOPInstanceUID, segment_number=number, source_series=series
    )
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=segment,
        measurements=[*_numbers(one), *_score(one.nephrometry)],
        qualitative_evaluations=_letters(one.nephrometry),
        **shared,
    )
    for warning in report.warnings:
        if warning.about == one.name:
            group[0].ContentSequence.append(_comment(str(warning)))
    return group


def _numbers(one: Structure) -> list[hd.sr.Measurement]:
    found = []
    for field, name, unit, derivation in NUMBERS:
        value = getattr(one, field)
        if value is not None:
            value = value * 100 if field == "certainty" else value
            found.append(hd.sr.Measurement(name=name, value=round(value, 3), unit=unit, derivation=derivation))
    return found


def _lengths(one: Structure, place: str) -> list[hd.sr.Measurement]:
    """Each with its end points in patient space; ``place``: the UID of the frame of reference."""
    found = []
    for field, name, derivation in LENGTHS:
        line: Line | None = getattr(one, field)
        if line is None:
            continue
        ends = np.array(line.ends_ras_mm) * [-1, -1, 1]  # LPS
        kind = "POLYLINE" if line.mm > 0 else "POINT"
        drawn = hd.sr.CoordinatesForMeasurement3D(kind, ends if line.mm > 0 else ends[:1], place)
        mm = round(line.mm, 2)
        found.append(
            hd.sr.Measurement(name=name, value=mm, unit=MM, derivation=derivation, referenced_coordinates=[drawn])
        )
    return found


def _score(score: Nephrometry | None) -> list[hd.sr.Measurement]:
    """R.E.N.A.L. nephrometry: the sum, the points of each letter and the C-index."""
    if score is None or score.total is None:
        return []
    parts = {"total": ("R.E.N.A.L. nephrometry score", score.total)}
    for part_name in PARTS:
        part = getattr(score, part_name)
        if part is not None and isinstance(part.points, int):
            parts[part_name] = (f"R.E.N.A.L. points for {part_name}", part.points)
    found = [
        hd.sr.Measurement(name=own(f"renal_{key}", meaning), value=value, unit=POINTS)
        for key, (meaning, value) in parts.items()
    ]
    if score.c_index is not None:
        found.append(hd.sr.Measurement(name=own("c_index", "C-index"), value=round(score.c_index, 2), unit=POINTS))
    return found


def _letters(score: Nephrometry | None) -> list[hd.sr.QualitativeEvaluation] | None:
    """The score as it is written, "8ah"."""
    if score is None or score.total is None:
        return None
    value = own(f"renal_{score.text}", f"{score.text} ({CHECK})")
    return [hd.sr.QualitativeEvaluation(own("renal", "R.E.N.A.L. nephrometry score, as written"), value)]


def _comment(text: str) -> hd.sr.TextContentItem:
    return hd.sr.TextContentItem(COMMENT, text, relationship_type="CONTAINS")


def _told(texts: Sequence[str]) -> hd.sr.ContainerContentItem:
    """Warnings and notes about the whole."""
    name = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
    container = hd.sr.ContainerContentItem(name, is_content_continuous=False, relationship_type="CONTAINS")
    container.ContentSequence = hd.sr.ContentSequence([_comment(text) for text in texts])
    return container
