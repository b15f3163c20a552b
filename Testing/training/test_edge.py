"""The visible edge against an outline that is drawn too wide or too tight by a known length."""

import numpy as np
import pytest
from scipy import ndimage

from Testing.training.conftest import save_case
from training import edge

PIXEL_MM = 0.8


def disc(radius_mm, size=120):
    rows, columns = np.ogrid[:size, :size]
    return np.hypot(rows - 60.3, columns - 59.6) * PIXEL_MM <= radius_mm


@pytest.mark.parametrize("too_wide_mm", [-1.6, 0.0, 0.8, 1.6])
def test_the_edge_is_as_far_off_as_the_outline_is_wrong(too_wide_mm):
    hu = ndimage.gaussian_filter(np.where(disc(22.0), 160.0, -100.0), 1.2)
    found = edge.edge_mm(hu, disc(22.0 + too_wide_mm), PIXEL_MM)
    assert len(found) > 80
    assert np.median(found) == pytest.approx(-too_wide_mm, abs=0.2)


def test_where_no_fat_is_near_nothing_is_told():
    hu = np.where(disc(22.0), 160.0, 40.0)
    hu[:60] = np.where(disc(22.0)[:60], 160.0, -100.0)
    told = len(edge.edge_mm(hu, disc(22.0), PIXEL_MM))
    assert 0 < told < 0.6 * len(edge.edge_mm(np.where(disc(22.0), 160.0, -100.0), disc(22.0), PIXEL_MM))
    assert len(edge.edge_mm(hu, disc(5.0), PIXEL_MM)) == 0  # too little kidney


def test_where_something_lies_in_the_fat_beside_the_kidney_nothing_is_told():
    hu = np.where(disc(22.0) | (disc(25.2) & ~disc(23.6)), 160.0, -100.0)
    assert len(edge.edge_mm(np.where(disc(22.0), 160.0, -100.0), disc(22.0), PIXEL_MM)) > 80
    assert len(edge.edge_mm(hu, disc(22.0), PIXEL_MM)) < 5


def test_cases_are_read_and_told_of(tmp_path, command, capsys):
    options = {"shape": (12, 120, 140), "spacing": (12.0, 2.5, 2.5), "tumors": 0}
    save_case(tmp_path / "case_00001", 1, **options, phase="venous")
    assert command(edge, tmp_path / "case_00001") == 0
    assert "| case_00001 |" in (told := capsys.readouterr().out)
    assert abs(float(told.split("Mean of the cases: ")[1].split()[0])) < 1.0
    save_case(tmp_path / "case_00002", 1, **options, phase="none")
    assert command(edge, tmp_path / "case_00002") == 2
    assert "case_00002 has no edge" in capsys.readouterr().err
