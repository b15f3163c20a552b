"""What training makes small is small for the right answer, and its gradient points there."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.losses import CYST_CLASS, CYST_WEIGHT, EITHER, LOSSES, STABLE, dice_ce_loss, dice_loss, parenchyma_loss


@pytest.fixture
def labels():
    labels = torch.zeros(2, 32, 32, dtype=torch.long)
    labels[:, 4:24, 4:24], labels[:, 8:16, 8:16] = 1, 2
    return labels


def logits_of(labels, certain=12.0):
    return F.one_hot(labels, 3).movedim(-1, 1).float() * certain


@pytest.mark.parametrize("name", LOSSES)
def test_the_right_answer_costs_nothing_and_others_do(labels, name):
    loss = LOSSES[name]
    right = float(loss(logits_of(labels), labels))
    assert right < 0.01
    assert float(loss(logits_of(labels.clamp(max=1)), labels)) > right + 0.3  # tumors called kidney
    assert float(loss(logits_of(labels.roll(5, 2)), labels)) > right + 0.3
    assert float(loss(torch.zeros(2, 3, 32, 32), labels)) > right + 0.3


@pytest.mark.parametrize("name", LOSSES)
def test_following_the_gradient_leads_to_the_labels(labels, name):
    logits = torch.zeros(2, 3, 32, 32, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.3)
    for _ in range(60):
        optimizer.zero_grad()
        LOSSES[name](logits, labels).backward()
        optimizer.step()
    found = logits.argmax(1)
    assert torch.equal(found == 2, labels == 2) if name == "paper" else torch.equal(found, labels)


def test_the_dice_loss_by_hand():
    truth = torch.zeros(1, 20, 20, dtype=torch.bool)
    truth[0, :10, :10] = True
    half = truth.float() * 0.5
    assert float(dice_loss(half, truth)) == pytest.approx(1 - (100 + STABLE) / (150 + STABLE))
    assert float(dice_loss(truth.float(), truth)) == 0
    nothing = torch.zeros_like(truth)
    assert float(dice_loss(nothing.float(), nothing)) == 0  # an empty batch costs nothing


def test_where_cysts_are_not_told_kidney_and_cyst_are_one_class(labels):
    labels[0, 18:22, 18:22] = CYST_CLASS
    logits = F.one_hot(labels, 4).movedim(-1, 1).float() * 12
    swapped = logits[:, [0, CYST_CLASS, 2, 1]]
    assert float(dice_ce_loss(logits, labels)) < 0.01
    assert float(dice_ce_loss(swapped, labels)) > 1
    untold = labels.masked_fill((labels == 1) | (labels == CYST_CLASS), EITHER)
    assert float(dice_ce_loss(logits, untold)) < 0.01
    assert float(dice_ce_loss(swapped, untold)) < 0.01
    background = logits[:, [1, 0, 2, CYST_CLASS]]  # either is still not background
    assert float(dice_ce_loss(background, untold)) > 1


def test_our_loss_by_hand():
    """Four classes, each as likely: 100 pixels, of which 40 are kidney, 30 tumor, 10 cyst."""
    labels = torch.zeros(1, 10, 10, dtype=torch.long)
    labels[0, :4], labels[0, 4:7], labels[0, 7] = 1, 2, CYST_CLASS
    entropy = np.log(4) * (90 + CYST_WEIGHT * 10) / 100
    dice = [
        1 - (2 * chance * n + STABLE) / (chance * 100 + n + STABLE)
        for chance, n in ((0.75, 80), (0.25, 30), (0.25, 10))
    ]
    assert float(dice_ce_loss(torch.zeros(1, 4, 10, 10), labels)) == pytest.approx(entropy + sum(dice) / 2, rel=1e-5)


def test_parenchyma_is_asked_where_a_kidney_may_be():
    logits = torch.zeros(1, 4, 4, 4)
    logits[:, 0] = 9.0  # background
    logits[:, 0, :2], logits[:, 1, :2] = 0.0, 4.0  # but for two rows
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[:, 0] = EITHER  # of which one is parenchyma
    told = torch.full((1, 1, 4, 4), -20.0)
    told[:, :, 0] = 20.0
    assert float(parenchyma_loss(logits, told, labels)) < 1e-6
    elsewhere = told.clone()
    elsewhere[:, :, 2:] = 20.0
    assert float(parenchyma_loss(logits, elsewhere, labels)) < 1e-6
    told[:, :, 1] = 20.0
    assert float(parenchyma_loss(logits, told, labels)) == pytest.approx(10, rel=1e-3)
    logits[:, 0] = 9.0
    logits[:, 1] = 0.0
    nowhere = parenchyma_loss(logits, told.requires_grad_(), labels)
    nowhere.backward()
    assert float(nowhere.detach()) == 0
