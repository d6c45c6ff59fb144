"""The same method with a bug: it raises at its fourth step. It costs its own cell of a run and no other."""

import torch

from colour_transfer.method import Batch, ColourTransfer
from methods.base import Domains, Progress


class Broken(ColourTransfer):
    """`python -m bench conform colour_transfer_broken` names the line below."""

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """Raises from step 3 on."""
        if progress.step >= 3:
            raise RuntimeError("a bug in somebody's method")
        return super().draw(domains, rng, progress)
