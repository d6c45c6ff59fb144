"""Training images by (cluster, domain), so that exemplars are drawn in a few array operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COLLAPSED = 0.9
"""A cluster with a larger share of a domain's images says that the categories mean nothing there."""


@dataclass(frozen=True)
class Sources:
    """Which images are translated. int64 (B,) each, on the CPU."""

    domain: Tensor
    """0 or 1."""
    row: Tensor
    """Row in the domain's training images."""
    cluster: Tensor
    """h of the image."""


@dataclass(frozen=True)
class Targets:
    """The exemplars of `Sources`. int64 (B,) each, on the CPU."""

    domain: Tensor
    """0 or 1."""
    row: Tensor
    """Row of x_trg in the domain's training images."""
    row2: Tensor
    """Row of x_ds, drawn independently; may be the same."""


class CategoryTables:
    """Clusters of all training images, and their rows sorted by (cluster, domain). 8 bytes an image, on the CPU."""

    def __init__(self, clusters: Sequence[Tensor]) -> None:
        """`clusters`: per domain int64 (N_d,), the cluster of each training image."""
        self.sizes = [len(of_domain) for of_domain in clusters]
        highest = max(int(of_domain.max()) for of_domain in clusters)
        joined = torch.cat([of_domain.cpu() for of_domain in clusters])
        domain = torch.repeat_interleave(torch.arange(2), torch.tensor(self.sizes))
        self.cluster = joined.to(torch.int32)  # (N_0 + N_1,), rows of domain 1 behind those of domain 0
        group = 2 * joined + domain  # cells of one cluster lie side by side: both domains' are one range
        self.order = torch.argsort(group, stable=True).to(torch.int32)
        self.count = torch.bincount(group, minlength=2 * (highest + 1)).reshape(-1, 2)  # (C, 2)
        self.start = (self.count.flatten().cumsum(0) - self.count.flatten()).reshape(-1, 2)

    def draw(self, count: int, rng: torch.Generator, *, opposite: bool = False) -> tuple[Sources, Targets]:
        """`count` sources, uniform over the union of both domains, and two exemplars of each one's cluster.

        The first exemplar is uniform over the cluster's images in both domains, and its domain is the target; the
        second one is of the same cluster and domain. With `opposite`, source domains are uniform and both exemplars
        are of the other domain: of the cluster there, or any image if it is empty.
        """
        if opposite:
            return self._draw_opposite(count, rng)
        total = sum(self.sizes)
        index = torch.randint(total, (count,), generator=rng)
        cluster = self.cluster[index].long()
        first = self._pick(self.start[cluster, 0], self.count[cluster].sum(1), rng)
        target = (first >= self.sizes[0]).long()
        second = self._pick(self.start[cluster, target], self.count[cluster, target], rng)
        return self._packed(index, cluster, target, first, second)

    def _draw_opposite(self, count: int, rng: torch.Generator) -> tuple[Sources, Targets]:
        domain = torch.randint(2, (count,), generator=rng)
        target, sizes = 1 - domain, torch.tensor(self.sizes)
        index = self._uniform(sizes[domain], rng) + domain * self.sizes[0]
        cluster = self.cluster[index].long()
        start, number = self.start[cluster, target], self.count[cluster, target]
        anything = self._uniform(sizes[target], rng), self._uniform(sizes[target], rng)
        first, second = (
            torch.where(number > 0, self._pick(start, number.clamp_min(1), rng), other + target * self.sizes[0])
            for other in anything
        )
        return self._packed(index, cluster, target, first, second)

    @staticmethod
    def _uniform(upper: Tensor, rng: torch.Generator) -> Tensor:
        """int64 (B,) uniform in [0, upper) for each item's own `upper` (B,)."""
        return (torch.rand(len(upper), generator=rng, dtype=torch.float64) * upper).long()

    def _pick(self, start: Tensor, number: Tensor, rng: torch.Generator) -> Tensor:
        """A uniform entry of `order[start : start + number]` for each item."""
        return self.order[(start + self._uniform(number, rng)).clamp_max(len(self.order) - 1)].long()

    def _packed(
        self, index: Tensor, cluster: Tensor, target: Tensor, first: Tensor, second: Tensor
    ) -> tuple[Sources, Targets]:
        domain = (index >= self.sizes[0]).long()
        offset = target * self.sizes[0]
        sources = Sources(domain, index - domain * self.sizes[0], cluster)
        return sources, Targets(target, first - offset, second - offset)

    def remarks(self) -> tuple[str, ...]:
        """A sentence for each domain of which one cluster holds nearly everything; `{0}`, `{1}`: its name."""
        shares = [int(self.count[:, domain].max()) / self.sizes[domain] for domain in (0, 1)]
        return tuple(
            f"categories collapsed: {share:.0%} of the training images of {{{domain}}} are in one cluster"
            for domain, share in enumerate(shares)
            if share > COLLAPSED
        )

    @property
    def nbytes(self) -> int:
        """Memory of the tables."""
        return sum(table.nbytes for table in (self.cluster, self.order, self.count, self.start))
