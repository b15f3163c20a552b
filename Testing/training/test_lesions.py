"""Lesions that are put into samples: they sit at kidneys and are seen, decoys lie beside them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from wpunet.labels import CYST, KIDNEY, TUMOR

from training.lesions import Lesion, add_decoy, add_graft, add_lesion, grown


def test_synthetic_lesions_sit_at_kidneys_and_are_seen():
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    labels = (((x - 48) ** 2 / 400 + (y - 48) ** 2 / 625) < 1).to(torch.uint8)
    hu = torch.where(labels > 0, 180.0, -80.0)
    counts = {True: 0, False: 0}
    for seed in range(40):
        lesion = Lesion.draw(np.random.default_rng(seed))
        changed, marked = add_lesion(hu, labels, lesion, 1.6)
        if marked is labels:
            continue
        counts[lesion.tumor] += 1
        inside = marked == 2 if lesion.tumor else (changed - hu).abs() > 30
        assert bool(inside.any())
        assert set(marked.unique().tolist()) - {0, 1} == {TUMOR if lesion.tumor else CYST}
        assert abs(float(changed[inside].median()) - 180) > 10
        assert bool((labels[inside] > 0).any())  # it grows from the kidney
    assert min(counts.values()) > 5
    nothing = torch.zeros_like(labels)
    assert add_lesion(hu, nothing, lesion, 1.6)[1] is nothing


@pytest.mark.parametrize(("radius", "changes"), [(3.9, False), (5.7, True)])  # 124 and 260 mm2, in pixels of 1.6 mm
def test_a_pole_of_a_kidney_gets_no_lesion(radius, changes):
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    labels = ((x - 32) ** 2 + (y - 32) ** 2 < radius**2).to(torch.uint8)
    hu = torch.where(labels > 0, 180.0, -80.0)
    drawn = (add_lesion(hu, labels, Lesion.draw(np.random.default_rng(seed)), 1.6)[1] for seed in range(20))
    assert any(not torch.equal(marked, labels) for marked in drawn) == changes


def test_a_synthetic_cyst_leaves_a_tumor_as_it_is():
    labels = torch.full((64, 64), KIDNEY, dtype=torch.uint8)
    labels[24:40, 24:40] = TUMOR
    hu = torch.where(labels == TUMOR, 90.0, 180.0)
    lesions = [replace(Lesion.draw(np.random.default_rng(seed)), tumor=False, hu=10.0) for seed in range(40)]
    touching = 0
    for lesion in lesions:
        changed, marked = add_lesion(hu, labels, lesion, 1.6)
        touching += bool((grown(marked == CYST, 1) & (labels == TUMOR)).any())
        assert torch.equal(changed[marked == TUMOR], hu[labels == TUMOR])  # water is not to be called tumor
    assert touching > 5


def donor_and_patient():
    """A kidney of 180 HU with a square tumor of 60 HU, and one of 120 HU without: labels and HU, each (96, 96)."""
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    kidney = (((x - 48) ** 2 / 400 + (y - 48) ** 2 / 625) < 1).to(torch.uint8)
    tumor = (abs(x - 58) < 8) & (abs(y - 40) < 8)
    marked = torch.where(tumor, 2, kidney).to(torch.uint8)
    donor = torch.where(tumor, 60.0, torch.where(kidney > 0, 180.0, -80.0))
    return donor, marked, torch.where(kidney > 0, 120.0, -80.0), kidney


def test_a_graft_is_the_donors_tumor_in_the_patients_phase():
    donor, marked, hu, labels = donor_and_patient()
    for follow, expected in ((0.0, 60.0), (0.5, 30.0)):  # the patient's kidneys are 60 HU darker
        changed, grafted = add_graft(hu, labels, donor, marked, follow)
        assert torch.equal(grafted == 2, marked == 2)
        assert float(changed[36:44, 54:62].mean()) == pytest.approx(expected)
        far = torch.nn.functional.max_pool2d((marked == 2).float()[None, None], 3, 1, 1)[0, 0] == 0
        assert torch.equal(changed[far], hu[far])
        assert torch.equal(grafted[far], labels[far])
    assert not bool((labels == 2).any())  # the patient's own stay as they were


def test_a_graft_that_would_not_show_or_lies_beside_the_kidney_is_left_out():
    donor, marked, hu, labels = donor_and_patient()
    as_bright = torch.where(marked == 2, 120.0, donor)
    assert add_graft(hu, labels, as_bright, marked, 0.0)[1] is labels
    aside = torch.roll(marked, 34, 1)
    assert add_graft(hu, labels, torch.roll(donor, 34, 1), aside, 0.0)[1] is labels
    assert add_graft(hu, labels, donor, labels, 0.0)[1] is labels  # no tumor
    air = torch.full_like(hu, -1000.0)
    assert add_graft(air, labels, donor, marked, 0.0)[0] is air


def test_a_foreign_tumor_lies_in_soft_tissue_away_from_kidneys_and_is_not_marked():
    donor, marked, hu, labels = donor_and_patient()
    hu = torch.where(labels > 0, hu, 100.0)
    hu[:, 80:] = -80.0  # fat
    aside = (torch.roll(one, 20, 1) for one in (donor, marked))
    changed, same = add_graft(hu, labels, *aside, 0.0, decoy=True)
    assert same is labels
    there = changed != hu
    assert int(there.sum()) > 50
    assert float(changed[40, 75]) == pytest.approx(60, abs=1)
    near_kidney = torch.nn.functional.max_pool2d((labels > 0).float()[None, None], 7, 1, 3)[0, 0] > 0
    assert not bool((there & near_kidney).any())
    assert not bool(there[:, 82:].any())


def test_decoys_lie_in_soft_tissue_beside_the_kidney():
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    labels = (((x - 60) ** 2 / 400 + (y - 48) ** 2 / 625) < 1).to(torch.uint8)
    hu = torch.where(labels > 0, 180.0, torch.where(x < 20, -80.0, 110.0))
    moved = 0
    for seed in range(20):
        changed = add_decoy(hu, labels, Lesion.draw(np.random.default_rng(seed)), 1.6)
        there = changed != hu
        assert not bool((there & ((labels > 0) | (x < 20))).any())
        moved += int(there.sum()) > 20
    assert moved == 20
    fat = torch.full((96, 96), -80.0)
    assert add_decoy(fat, labels * 0, Lesion.draw(np.random.default_rng(0)), 1.6) is fat
