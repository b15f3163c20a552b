"""What training makes small."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from training.distributed import summed

STABLE = 50.0  # pixels; keeps the Dice of an empty batch from jumping


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
    """Ours: cross-entropy of three classes plus half the Dice losses of kidney-or-tumor and of tumor."""
    probabilities = logits.softmax(1)
    loss = F.cross_entropy(logits, labels)
    loss = loss + 0.5 * dice_loss(probabilities[:, 1] + probabilities[:, 2], labels > 0)
    return loss + 0.5 * dice_loss(probabilities[:, 2], labels == 2)


LOSSES = {"paper": paper_loss, "dice_ce": dice_ce_loss}
