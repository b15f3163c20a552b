"""What training makes small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.distributed import summed

STABLE = 50.0  # pixels; keeps the Dice of an empty batch from jumping
CYST_CLASS = 3
CYST_WEIGHT = 12.0  # of a cyst's pixels in the cross-entropy: without it so rare a class is never learned
IN_QUESTION = 0.05  # the chance of kidney from which on it matters whether it is parenchyma
EITHER = 4  # the label of what is kidney or cyst, where nobody marked cysts as such


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
    """Ours: cross-entropy of the classes plus half the Dice losses of kidney-or-tumor, tumor and (if told) cyst.

    logits (n, 3 or 4, h, w), labels (n, h, w): 0, 1 kidney, 2 tumor, 3 cyst, ``EITHER``. The last is the marginal loss
    over partial labels (Shi et al., Med Image Anal 2021;70:101979): the two classes are one where they are not told.
    """
    log = logits.log_softmax(1)
    probabilities = log.exp()
    either = labels == EITHER
    loss = -log.gather(1, labels.masked_fill(either, 1)[:, None])[:, 0]
    if logits.shape[1] > CYST_CLASS:
        loss = torch.where(either, -torch.logaddexp(log[:, 1], log[:, CYST_CLASS]), loss)
        loss = torch.where(labels == CYST_CLASS, CYST_WEIGHT * loss, loss)
    total = loss.mean() + 0.5 * dice_loss(1 - probabilities[:, 0], labels > 0)
    total = total + 0.5 * dice_loss(probabilities[:, 2], labels == 2)
    if logits.shape[1] > CYST_CLASS:
        total = total + 0.5 * dice_loss(probabilities[:, CYST_CLASS] * ~either, labels == CYST_CLASS)
    return total


def parenchyma_loss(logits: Tensor, parenchyma: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of parenchyma, by its logit (n, 1, h, w), where a network's logits (n, classes, h, w) allow kidney.

    labels (n, h, w) of readers who left the sinus out: whatever they did not mark is none. Each pixel counts as much,
    however sure of kidney the network is; where it marks too much in CT that it does not know, it is often less sure.
    """
    asked = 1 - logits.softmax(1)[:, 0] > IN_QUESTION
    if not bool(asked.any()):
        return parenchyma.sum() * 0
    return F.binary_cross_entropy_with_logits(parenchyma[:, 0][asked], (labels > 0).float()[asked])


LOSSES = {"paper": paper_loss, "dice_ce": dice_ce_loss}
