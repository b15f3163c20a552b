"""The command line with an engine that needs no network, and a small patient as files."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from wpunet import cli

from Testing.wpunet import patient, results


@pytest.fixture
def segment(monkeypatch):
    """``wpunet segment ARGUMENTS`` in this process; gives the exit status, argparse's included."""
    monkeypatch.setattr(cli, "_segmenter", lambda _: patient.StandIn())

    def run(*arguments):
        try:
            return cli.main(["segment", *map(str, arguments)])
        except SystemExit as end:
            return end.code

    return run


@pytest.fixture
def segment_blocks(monkeypatch):
    """``wpunet segment ARGUMENTS`` in this process with an engine that finds ``results.blocks``; gives the status."""
    monkeypatch.setattr(cli, "_segmenter", lambda _: results.Blocks())
    return lambda *arguments: cli.main(["segment", *map(str, arguments)])


@pytest.fixture
def as_nobody():
    """A folder of everybody's, and a context in which this process has nobody's rights, where it has all."""

    @contextmanager
    def nobody():
        mine = os.geteuid()
        if mine == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(mine)

    if not hasattr(os, "geteuid"):
        pytest.skip("rights of files are told otherwise here")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder), nobody


@pytest.fixture(scope="session")
def nifti_bytes():
    """The patient as an unpacked NIfTI file, upright, as scanners' series become."""
    image = nib.Nifti1Image(patient.hu().T, np.diag([-1.0, -1, 1, 1]) @ patient.affine_lps())
    image.set_qform(image.affine, 1)
    return image.to_bytes()


@pytest.fixture
def ct(tmp_path, nifti_bytes):
    path = tmp_path / "ct.nii"
    path.write_bytes(nifti_bytes)
    return path


@pytest.fixture(scope="session")
def truth(tmp_path_factory, nifti_bytes):
    """The report of the unmodified patient."""
    return report_of(tmp_path_factory.mktemp("truth"), nifti_bytes)


def report_of(folder, content):
    from wpunet import files

    path = folder / "ct.nii"
    path.write_bytes(content)
    return patient.StandIn().segment(files.read(path)).report.to_json_dict()


@pytest.fixture
def told(segment, tmp_path):
    """Segments a CT and gives its report, or the line with which it was refused."""
    import contextlib
    import io

    def run(path, *options):
        out, report, error = tmp_path / "told.nii.gz", tmp_path / "told.json", io.StringIO()
        report.unlink(missing_ok=True)
        with contextlib.redirect_stderr(error):
            status = segment(path, "-o", out, "--report", report, *options)
        lines = error.getvalue().splitlines()
        if status == 2:
            assert len(lines) == 1, lines
            assert not report.exists()
            return lines[0]
        assert status == 0, lines
        assert lines == []
        found = json.loads(report.read_text())
        return found | {"warnings": [one["text"] for one in found["warnings"]]}

    return run
