"""Loss terms that several methods share. All return a 0-d float32 (or wider) tensor, a mean over what is given.

Network outputs may be bfloat16 under autocast; a loss is computed in float32 or wider.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """Half precisions to float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def l1_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference over all elements."""
    return F.l1_loss(wide(a), wide(b))


def least_squares_loss(prediction: Tensor, target: float) -> Tensor:
    """LSGAN (Mao et al. 2017): mean squared distance of an unbounded `prediction` of any shape to `target`."""
    return (wide(prediction) - target).square().mean()


def logistic_loss(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of `logits` (any shape) with the constant label 1 (`real`) or 0."""
    return F.softplus(-wide(logits) if real else wide(logits)).mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018, eq. 9): half the squared gradient norm of D at real images, mean over the batch.

    `logits` (B,) are D's outputs for `images` (B, 3, H, W), which must require grad. The squared gradient is summed
    over the pixels of an image, not averaged. The graph is kept, so that the penalty can be differentiated.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return 0.5 * wide(gradient).square().sum(dim=(1, 2, 3)).mean()
