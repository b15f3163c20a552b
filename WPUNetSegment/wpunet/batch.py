"""What a call of the command line is to do: one job for each CT, with the names of all that it writes."""

from __future__ import annotations

import importlib.util
import json
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import files
from .errors import InputError, InstallError
from .labels import BY_SIDE, TOGETHER, together

if TYPE_CHECKING:
    from .monitor import Monitor
    from .segment import Options, Result, Segmenter

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".dcm")


@dataclass(frozen=True)
class Job:
    """One CT and the files to be made of it; those that are None are not wanted."""

    ct: Path
    name: str
    labels: Path
    report: Path | None = None
    preview: Path | None = None
    uncertainty: Path | None = None
    series: str | None = None
    sides: bool = False
    dicom_seg: Path | None = None
    fractional: bool = False

    @property
    def outputs(self) -> tuple[Path, ...]:
        wanted = (self.preview, self.uncertainty, self.report, self.dicom_seg, self.labels)
        return tuple(path for path in wanted if path)

    @property
    def segmentation_object(self) -> Path | None:
        """The DICOM segmentation that is wanted, be it the only one."""
        return self.labels if self.labels.name.endswith(".dcm") else self.dicom_seg

    @property
    def finished(self) -> bool:
        """The label map is written last, so where it is, all is."""
        return self.labels.exists()

    def run(self, segmenter: Segmenter, options: Options, monitor: Monitor) -> Result:
        """Segment and write; raises InputError or OutputError, and leaves no half-written file."""
        for path in self.outputs:
            files.require_writable(path)
        if self.segmentation_object:
            _require_dicom(self.ct)
        result = segmenter.segment_file(self.ct, options, monitor, self.series)
        with monitor.stage("write"):
            self.write(result)
        return result

    def write(self, result: Result) -> None:
        """All wanted files of ``result``; the label map last."""
        if self.preview:
            from . import preview  # needs Pillow, which not everybody has who wants no picture

            with files.replacing(self.preview) as temporary:
                preview.preview(result.volume.hu, result.labels, result.volume.spacing, result.report).save(
                    temporary, "PNG"
                )
        if self.uncertainty:
            files.write_map(self.uncertainty, result.uncertainty.astype("float32") / 255.0, result.volume)
        if self.report:
            with files.replacing(self.report) as temporary:
                temporary.write_text(json.dumps(result.report.to_json_dict(), indent=2) + "\n", "utf-8")
        if self.segmentation_object:
            from . import dicom_seg  # needs highdicom

            made = dicom_seg.segmentation(result, fractional=self.fractional)
            dicom_seg.write(self.segmentation_object, made)
            if self.segmentation_object == self.labels:
                return
        by_side = self.sides or self.labels.name.endswith(".seg.nrrd")
        labels = result.labels if by_side else together(result.labels)
        files.write_labels(self.labels, labels, result.volume, BY_SIDE if by_side else TOGETHER)


def _require_dicom(ct: Path) -> None:
    """Raises before the run what would end it after: highdicom is missing, or the CT is no DICOM."""
    if importlib.util.find_spec("highdicom") is None:
        raise InstallError("DICOM results need the package highdicom: pip install 'wpunet[dicom]'.")
    if ct.name.lower().endswith(files.ENDINGS):
        raise InputError(f"{ct} is no DICOM: a DICOM result needs a study to belong to; write .nii.gz or .seg.nrrd.")


def plan(arguments: Namespace) -> tuple[list[Job], bool]:
    """The jobs that the arguments of ``wpunet segment`` ask for, and whether they go into a folder.

    Raises InputError when the arguments contradict each other or a folder holds no CT.
    """
    cts = [(given, ct) for given in arguments.ct for ct in files.find_cases(given)]
    if len(arguments.ct) == 1 and cts == [(arguments.ct[0], arguments.ct[0])]:
        return [_single(arguments)], False
    if arguments.report or arguments.preview or arguments.uncertainty or arguments.dicom_seg:
        raise InputError(
            "With several CTs each gets its report and preview in the folder that -o names;"
            " leave --report, --preview, --uncertainty and --dicom-seg out (--format dcm writes DICOM)."
        )
    if arguments.output is None:
        raise InputError("Say with -o which folder the segmentations of these CTs go into.")
    ending = arguments.format or "nii.gz"
    folder = arguments.output
    files.make_folder(folder)
    paths = [ct for _, ct in cts]
    return [
        Job(
            ct=ct,
            name=name,
            labels=folder / f"{name}.{ending}",
            report=folder / f"{name}.json",
            preview=folder / f"{name}.png",
            series=arguments.series,
            sides=arguments.sides,
            fractional=arguments.fractional,
        )
        for ct, name in zip(paths, distinct_names(paths), strict=True)
    ], True


def _single(arguments: Namespace) -> Job:
    ct = arguments.ct[0]
    name = files.case_name(ct)
    output = arguments.output or Path(f"{name}_segmentation.{arguments.format or 'nii.gz'}")
    if output.is_dir():
        output = output / f"{name}.{arguments.format or 'nii.gz'}"
    if not output.name.endswith(SUFFIXES):
        raise InputError(f"The name of the segmentation, {output}, must end in {', '.join(SUFFIXES)}.")
    if arguments.format and not output.name.endswith(f".{arguments.format}"):
        raise InputError(f"--format {arguments.format} contradicts the name of the output, {output}; change one.")
    if output.resolve() == ct.resolve():
        raise InputError(f"The segmentation would overwrite the CT {ct}; give another name with -o.")
    return Job(
        ct=ct,
        name=name,
        labels=output,
        report=arguments.report,
        preview=arguments.preview,
        uncertainty=arguments.uncertainty,
        series=arguments.series,
        sides=arguments.sides,
        dicom_seg=arguments.dicom_seg,
        fractional=arguments.fractional,
    )


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Case names of ``paths``; those that would be alike get the names of the folders above in front."""
    names = [files.case_name(path) for path in paths]
    above = list(paths)
    while len(set(names)) < len(names):
        seen = Counter(names)
        above = [path.parent for path in above]
        if all(path == path.parent for path in above):
            raise InputError(f"The same CT is given twice: {next(n for n in names if seen[n] > 1)}.")
        names = [f"{path.name}_{name}" if seen[name] > 1 else name for path, name in zip(above, names, strict=True)]
    return names
