"""What training makes small."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from training.distributed import summed

STABLE = 50.0  # pixels; keeps the Dice of an empty batch from jumping
CYST_CLASS = 3
CYST_WEIGHT = 12.0  # of a cyst's pixels in the cross-entropy: without it so rare a class is never learned
SINUS_CLASS = 4  # of the kidney, which some readers count as kidney and others do not
# Labels of what may be one of several classes, since its readers did not tell them apart
EITHER, AROUND, WITH_SINUS, ANY = 5, 6, 7, 8
PERMITTED = {
    EITHER: (1, CYST_CLASS),
    AROUND: (0, SINUS_CLASS),  # fat in the hollow of a kidney whose sinus was left out, and its rim
    WITH_SINUS: (1, SINUS_CLASS),
    ANY: (1, CYST_CLASS, SINUS_CLASS),
}
LEFT_OUT = (1, SINUS_CLASS, EITHER, AROUND)  # labels where the sinus is no kidney


def dice_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice of a whole batch, over all processes; both (n, h, w)."""
    both, total = summed((probabilities * truth).sum()), summed(probabilities.sum() + truth.sum())
    return 1 - (2 * both + STABLE) / (total + STABLE)


def paper_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The paper's: cross-entropy of the kidney channel plus Dice loss of the tumor channel.

    logits (n, 3, h, w), labels (n, h, w). The kidney channel is kidney-or-tumor against background.
    """
    foreground = logits[:, 1:].logsumexp(1) - logits[:, 0]
    kidney = F.binary_cross_entropy_with_logits(foreground, (labels > 0).float())
    return kidney + dice_loss(logits.softmax(1)[:, 2], labels == 2)


def dice_ce_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Ours: cross-entropy of the classes plus half the Dice losses of kidney-or-tumor, tumor, cyst and sinus.

    logits (n, 3 to 5, h, w), labels (n, h, w): 0, 1 kidney, 2 tumor, 3 cyst, 4 sinus, and those of ``PERMITTED``. These
    make it the marginal loss over partial labels (Shi et al., Med Image Anal 2021;70:101979): where classes are not
    told apart, they are one. The sinus counts as kidney or as background, as the label's readers had it.
    """
    classes = logits.shape[1]
    log = logits.log_softmax(1)
    probabilities = log.exp()
    others = ~_permitted(classes, labels.device)[labels].movedim(-1, 1)
    loss = -log.masked_fill(others, -math.inf).logsumexp(1)
    if classes > CYST_CLASS:
        loss = torch.where(labels == CYST_CLASS, CYST_WEIGHT * loss, loss)
    nothing, marked = probabilities[:, 0], ~_among(labels, (0, SINUS_CLASS, AROUND))
    if classes > SINUS_CLASS:
        nothing = nothing + probabilities[:, SINUS_CLASS] * _among(labels, LEFT_OUT)
    total = loss.mean() + 0.5 * dice_loss(1 - nothing, marked)
    total = total + 0.5 * dice_loss(probabilities[:, 2], labels == 2)
    if classes > CYST_CLASS:
        told = ~_among(labels, (EITHER, ANY))
        total = total + 0.5 * dice_loss(probabilities[:, CYST_CLASS] * told, labels == CYST_CLASS)
    if classes > SINUS_CLASS:
        total = total + 0.5 * _sinus_loss(logits, labels)
    return total


def _sinus_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of sinus against kidney where they are told apart, either counted as much as the other.

    Few samples tell of the sinus, and it is small there: in the mean over all pixels it would never be learned.
    """
    sinus, kidney = labels == SINUS_CLASS, _among(labels, (1, EITHER))
    logit = logits[:, SINUS_CLASS] - logits[:, 1]
    of_sinus, of_kidney = (
        (loss * told).sum() / told.sum().clamp_min(1)
        for told, loss in ((sinus, F.softplus(-logit)), (kidney, F.softplus(logit)))
    )
    return (of_sinus + of_kidney) / 2


def _permitted(classes: int, device: torch.device) -> Tensor:
    """(labels, classes) bool: which classes a label may be."""
    table = torch.eye(ANY + 1, classes, dtype=torch.bool)
    for label, several in PERMITTED.items():
        table[label] = False
        table[label, [one for one in several if one < classes]] = True
    return table.to(device)


def _among(labels: Tensor, some: Sequence[int]) -> Tensor:
    return torch.isin(labels, torch.tensor(some, dtype=labels.dtype, device=labels.device))


LOSSES = {"paper": paper_loss, "dice_ce": dice_ce_loss}
