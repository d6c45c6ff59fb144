"""Domain adaptation of clusters: VADA with domain confusion (Shu et al., "A DIRT-T Approach to Unsupervised Domain
Adaptation", ICLR 2018, arXiv 1802.08735) and virtual mixup (Mao et al., "Virtual Mixup Training for Unsupervised Domain
Adaptation", 2019, arXiv 1905.04215), as CatS-UDT uses them (Lavoie, Ahmed, Courville, ICLR 2021, arXiv 2010.01262,
section 3.1). Written from the papers and a description of CatS-UDT's code.

A classifier learns the cluster of source items by cross-entropy; the other terms make its decision boundary avoid the
target items (entropy, VAT, mixup) and its features look alike in both domains (confusion). In image space (MNIST to
SVHN) all seven terms are used, in the space of a given encoder's features (real to sketch) all but VAT.

Deliberate differences from the official code:
- Minibatches are drawn uniformly with replacement; officially shuffled epochs (images), or the head of a fresh random
  permutation (features).
- The source items' clusters are computed once, not again for every batch; they are those of a frozen network anyway.
- A term of weight 0 is not computed; without the confusion term the discriminator is not trained.
Deliberate differences of both from the papers (the options lead back): VAT's perturbation is normalised per pixel
(`vat_norm`), mixup mixes logits (`mixup_on`), batch norm's momentum is 0.99 (`bn_momentum`), the discriminator sees the
logits besides the features and is fooled by swapped labels instead of a reversed gradient, VAT is absent in feature
space, and no averaged copy of the classifier is kept (`ema_decay`).

Traps: everything runs in train mode, every term has forward passes (dropout, noise) of its own, and each of them moves
batch norm's running statistics, so that the order of the passes matters. With momentum 0.99 eval mode stands on the
last batch, which is a mixed target batch. The entropy term is differentiated through both factors; VAT's and mixup's
targets are detached. Discriminator label 1 is the *source*. VAT's radius 3.5 per pixel is 3.5 * 32 = 112 over an image.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Phase, Stage, digest
from methods.parts.checks import load_checked, require, without_prefix
from methods.parts.losses import logistic_loss, wide
from methods.parts.settings import stored_settings
from methods.semantics.classifiers import (
    Classifier,
    Discriminator,
    FeatureClassifier,
    FeatureDiscriminator,
    ImageClassifier,
    ImageDiscriminator,
    classifier_inputs,
)

Network = Callable[[Tensor], Tensor]
"""Inputs (B, ...) -> logits (B, K)."""
Unit = Callable[[Tensor], Tensor]
"""Gives a perturbation (B, ...) its unit norm."""
MixedTarget = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Two batches of logits (B, K), weights (B,) -> probabilities (B, K)."""

# ------------------------------------------------------------------------------------------------ loss terms


def soft_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits with logits: -sum_k softmax(target)_k log softmax(prediction)_k, (B, K) twice -> (B,).

    Differentiable in both.
    """
    return -(wide(target).softmax(dim=1) * wide(prediction).log_softmax(dim=1)).sum(dim=1)


def conditional_entropy(logits: Tensor) -> Tensor:
    """Mean conditional entropy of (B, K), with a gradient through both factors (VADA)."""
    return soft_cross_entropy(logits, logits).mean()


def domain_loss(source: Tensor, target: Tensor, source_label: bool) -> Tensor:
    """The discriminator's logits (B,) of both domains against the source's label and its opposite."""
    return 0.5 * logistic_loss(source, real=source_label) + 0.5 * logistic_loss(target, real=not source_label)


def unit_per_pixel(r: Tensor) -> Tensor:
    """`r` (B, C, ...) with L2 norm 1 over the channels, at each pixel by itself; a row of features is one pixel."""
    return F.normalize(r, dim=1)


def unit_per_sample(r: Tensor) -> Tensor:
    """`r` (B, ...) with L2 norm 1 over everything but the batch."""
    return F.normalize(r.flatten(1), dim=1).view_as(r)


def adversarial(
    network: Network, x: Tensor, clean: Tensor, noise: Tensor, radius: float, xi: float, unit: Unit
) -> Tensor:
    """x' = x + radius * unit(g), detached and not clipped; g by one power iteration (VAT: Miyato et al. 2018).

    `clean` (B, K): detached logits of `x` (B, ...). `noise` as `x`, standard normal. g is the gradient, with respect to
    r = xi * unit(noise), of the divergence of the logits at x + r from `clean`.
    """
    r = (xi * unit(noise)).requires_grad_()
    (gradient,) = torch.autograd.grad(soft_cross_entropy(network(x + r), clean).mean(), r)
    return x + radius * unit(gradient)


def virtual_adversarial_loss(
    network: Network, x: Tensor, noise: Tensor, radius: float, xi: float, unit: Unit
) -> Tensor:
    """Virtual adversarial loss (VAT, VADA): mean divergence of the logits at x' from those at x, which are detached.

    Three forward passes, in this order: at x, for the direction, at x'.
    """
    with torch.no_grad():
        clean = network(x)
    return soft_cross_entropy(network(adversarial(network, x, clean, noise, radius, xi, unit)), clean).mean()


def mix_pairs(a: Tensor, b: Tensor, alpha: Tensor) -> Tensor:
    """alpha * a + (1 - alpha) * b: (B, ...) twice, (B,) -> (B, ...)."""
    alpha = alpha.reshape(-1, *[1] * (a.ndim - 1))
    return alpha * a + (1 - alpha) * b


def mixed_by_logits(a: Tensor, b: Tensor, alpha: Tensor) -> Tensor:
    """Probabilities (B, K) of mixed logits: what the code does."""
    return mix_pairs(a, b, alpha).softmax(dim=1)


def mixed_by_probabilities(a: Tensor, b: Tensor, alpha: Tensor) -> Tensor:
    """Mixed probabilities (B, K) of two batches of logits: what the paper says."""
    return mix_pairs(a.softmax(dim=1), b.softmax(dim=1), alpha)


def virtual_mixup_loss(network: Network, x: Tensor, alpha: Tensor, partner: Tensor, target: MixedTarget) -> Tensor:
    """Virtual mixup (VMT): cross-entropy of the logits at mixed inputs with mixed, detached outputs.

    Item i of `x` (B, ...) is mixed with item `partner[i]` (int64 (B,)), with weight `alpha[i]` for item i itself.
    `target`: `mixed_by_logits` or `mixed_by_probabilities`. Two forward passes: at `x`, then mixed.
    """
    with torch.no_grad():
        logits = wide(network(x))
        wanted = target(logits, logits[partner], alpha)
    predicted = wide(network(mix_pairs(x, x[partner], alpha)))
    return -(wanted * predicted.log_softmax(dim=1)).sum(dim=1).mean()


# -------------------------------------------------------------------------------------------------- settings

UNITS: Mapping[str, Unit] = {"pixel": unit_per_pixel, "sample": unit_per_sample}
MIXED_TARGETS: Mapping[str, MixedTarget] = {"logits": mixed_by_logits, "prob": mixed_by_probabilities}


@dataclass(frozen=True)
class AdaptationConfig:
    """Settings; the defaults are the published ones of image space, `FEATURE_SPACE` those of feature space."""

    width: int = 256
    """Channels, or units, of the classifier's layers."""
    discriminator_width: int = 100
    """Units of the discriminator's layers."""
    steps: int = 50_001
    """Training iterations."""
    batch_size: int = 64
    """Items per domain and iteration, at least 2."""
    learning_rate: float = 1e-3
    """Adam, both networks."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates."""
    lambda_source: float = 1.0
    """Weight of the source items' cross-entropy with their clusters (official flag cw); positive."""
    lambda_entropy: float = 0.06
    """Weight of the target items' conditional entropy (tcw)."""
    lambda_confusion: float = 0.01
    """Weight of the domain confusion (dw)."""
    lambda_vat_source: float = 1.0
    """Weight of VAT on source items (svw)."""
    lambda_vat_target: float = 0.06
    """Weight of VAT on target items (tvw)."""
    lambda_mixup_source: float = 1.0
    """Weight of mixup on source items (smw)."""
    lambda_mixup_target: float = 0.06
    """Weight of mixup on target items (tmw)."""
    vat_radius: float = 3.5
    """Norm of VAT's perturbation, as `vat_norm` measures it."""
    vat_xi: float = 1e-6
    """Norm of the step by which VAT finds its direction."""
    vat_norm: str = "pixel"
    """Part with the norm `vat_radius`: `pixel` (each one over its channels; the official code) or `sample` (VADA)."""
    mixup_on: str = "logits"
    """Outputs that mixup mixes into its targets: `logits` (the official code) or `prob` (probabilities; the paper)."""
    bn_momentum: float = 0.99
    """Share of the newest batch in batch norm's running statistics: 0.99 officially, 0.01 in VADA. Images only."""
    ema_decay: float = 0.0
    """Decay of an averaged copy of the classifier, which becomes the result (VMT); 0: no copy, as officially."""

    def __post_init__(self) -> None:
        weights = ("entropy", "confusion", "vat_source", "vat_target", "mixup_source", "mixup_target")
        at_least_0 = [*(f"lambda_{name}" for name in weights), "learning_rate", "vat_radius"]
        rules = {f"{name} >= 1": getattr(self, name) >= 1 for name in ("width", "discriminator_width", "steps")}
        rules |= {f"{name} > 0": getattr(self, name) > 0 for name in ("lambda_source", "vat_xi")}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        rules["batch_size >= 2"] = self.batch_size >= 2
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        rules["bn_momentum in (0, 1]"] = 0 < self.bn_momentum <= 1
        rules["ema_decay in [0, 1)"] = 0 <= self.ema_decay < 1
        rules[f"vat_norm one of {', '.join(UNITS)}"] = self.vat_norm in UNITS
        rules[f"mixup_on one of {', '.join(MIXED_TARGETS)}"] = self.mixup_on in MIXED_TARGETS
        require("adaptation", rules)


FEATURE_SPACE = AdaptationConfig(
    lambda_entropy=1.0, lambda_confusion=1.0, lambda_vat_source=0.0, lambda_vat_target=0.0, lambda_mixup_target=1.0
)
"""The published settings of feature space."""


# ------------------------------------------------------------------------------------------------ the stages


@dataclass(frozen=True)
class Pair:
    """One batch of each domain; B = `batch_size`."""

    source: Tensor
    """(B, 3, H, W) in [0, 1], or (B, D)."""
    clusters: Tensor
    """int64 (B,): of the source items."""
    target: Tensor
    """(B, 3, H, W) in [0, 1], or (B, D)."""


class Adaptation(Stage):
    """Base class of the adaptation of images and of features."""

    classifier: Classifier
    discriminator: Discriminator
    average: Classifier

    def __init__(
        self, config: AdaptationConfig, source: Tensor, target: Tensor, source_clusters: Tensor, clusters: int
    ) -> None:
        """Subclasses add the networks, then call `_optimise`."""
        super().__init__()
        labels = source_clusters
        require(
            self.name,
            {
                "items of the same type and shape in both domains": source.dtype == target.dtype
                and source.shape[1:] == target.shape[1:],
                "at least one item in each domain": min(len(source), len(target)) > 0,
                "one int64 cluster per source item": labels.dtype == torch.int64 and labels.shape == (len(source),),
                f"source clusters from 0 to {clusters - 1}": bool(((labels >= 0) & (labels < clusters)).all()),
            },
        )
        self.config, self.steps, self.clusters = config, config.steps, clusters
        self.source, self.target, self.source_clusters = source, target, labels.to(source.device)
        self._unit, self._mixed_target = UNITS[config.vat_norm], MIXED_TARGETS[config.mixup_on]

    def _optimise(self) -> None:
        """Adam for both networks, and the averaged copy of the classifier if there is one."""
        if self.config.ema_decay > 0:
            self.average = copy.deepcopy(self.classifier).requires_grad_(False)
        for name in ("classifier", "discriminator"):
            parameters = getattr(self, name).parameters()
            self.optimizers[name] = Adam(parameters, lr=self.config.learning_rate, betas=self.config.betas, fused=True)

    def identity(self) -> dict[str, Any]:
        """Settings, number of clusters, and what is trained on, which tells the direction too."""
        return {
            "config": stored_settings(self.config),
            "clusters": self.clusters,
            "source": digest(self.source)[:16],
            "target": digest(self.target)[:16],
            "source_clusters": digest(self.source_clusters),
        }

    @torch.no_grad()
    def update_ema(self) -> None:
        """average <- decay * average + (1 - decay) * classifier, batch norm's statistics included."""
        if self.config.ema_decay == 0:
            return
        live = self.classifier.state_dict()
        for name, averaged in self.average.state_dict().items():
            if averaged.is_floating_point():
                averaged.lerp_(live[name], 1 - self.config.ema_decay)

    def finish(self) -> None:
        """The averaged copy, if there is one, becomes the classifier."""
        if self.config.ema_decay > 0:
            self.classifier.load_state_dict(self.average.state_dict())

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Load official checkpoints: `classifier`, `discriminator`, or both, by their own keys.

        Raises ValueError naming the keys that are missing, unexpected or of another shape.
        """
        targets: dict[str, list[nn.Module]] = {
            "classifier": [self.classifier],
            "discriminator": [self.discriminator],
        }
        load_checked(targets, {name: without_prefix(state) for name, state in state_dicts.items()})

    # ------------------------------------------------------------------------------------------------ training

    def draw_pair(self, rng: torch.Generator) -> Pair:
        """`batch_size` items of each domain, uniform with replacement."""
        size, device = (self.config.batch_size,), self.source.device
        source = torch.randint(len(self.source), size, generator=rng).to(device)
        target = torch.randint(len(self.target), size, generator=rng).to(device)
        return Pair(
            classifier_inputs(self.source[source]), self.source_clusters[source], classifier_inputs(self.target[target])
        )

    def _pairs(self, rng: torch.Generator) -> tuple[Pair, Pair]:
        """Batches of the discriminator's step and of the classifier's."""
        raise NotImplementedError

    def training_step(self, batch: torch.Generator) -> Iterator[Phase]:
        """Discriminator on detached features and logits (if there is a confusion term), then classifier."""
        first, second = self._pairs(batch)
        if self.config.lambda_confusion > 0:
            with torch.no_grad():
                seen = self._features_and_logits(first)
            losses = {"domain": self._domain_loss(seen, source_label=True)}
            yield Phase(trains=("discriminator",), losses=losses)
        yield Phase(trains=("classifier",), losses=self.classifier_losses(second, batch))

    def classifier_losses(self, pair: Pair, rng: torch.Generator) -> dict[str, Tensor]:
        """The weighted terms whose weight is not 0, in the official order, each with forward passes of its own.

        The first one has a gradient: under autocast a weight that is first cast without one would lose its own.
        """
        c, source, target = self.config, pair.source, pair.target
        terms: dict[str, tuple[float, Callable[[], Tensor]]] = {
            "source": (c.lambda_source, lambda: F.cross_entropy(wide(self.classifier(source)), pair.clusters)),
            "entropy": (c.lambda_entropy, lambda: conditional_entropy(self.classifier(target))),
            "confusion": (c.lambda_confusion, lambda: self._confusion(pair)),
            "vat_source": (c.lambda_vat_source, lambda: self._vat(source, rng)),
            "vat_target": (c.lambda_vat_target, lambda: self._vat(target, rng)),
            "mixup_source": (c.lambda_mixup_source, lambda: self._mixup(source, rng)),
            "mixup_target": (c.lambda_mixup_target, lambda: self._mixup(target, rng)),
        }
        return {name: weight * term() for name, (weight, term) in terms.items() if weight > 0}

    def _features_and_logits(self, pair: Pair) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """phi of the source, phi of the target, and the logits of each."""
        source, target = self.classifier.phi(pair.source), self.classifier.phi(pair.target)
        return source, target, self.classifier.mlp(source), self.classifier.mlp(target)

    def _domain_loss(self, seen: tuple[Tensor, Tensor, Tensor, Tensor], source_label: bool) -> Tensor:
        """`seen`: as `_features_and_logits` gives them."""
        source, target, source_logits, target_logits = seen
        discriminate = self.discriminator
        return domain_loss(discriminate(source, source_logits), discriminate(target, target_logits), source_label)

    def _confusion(self, pair: Pair) -> Tensor:
        """The discriminator's loss with its labels swapped."""
        return self._domain_loss(self._features_and_logits(pair), source_label=False)

    def _vat(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """VAT at `x`, the start of the power iteration drawn."""
        c = self.config
        noise = torch.randn(x.shape, generator=rng).to(x)
        return virtual_adversarial_loss(self.classifier, x, noise, c.vat_radius, c.vat_xi, self._unit)

    def _mixup(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Mixup of `x` with a random permutation of it, the weights uniform in [0, 1)."""
        alpha = torch.rand(len(x), generator=rng).to(x)
        partner = torch.randperm(len(x), generator=rng).to(x.device)
        return virtual_mixup_loss(self.classifier, x, alpha, partner, self._mixed_target)


class ImageAdaptation(Adaptation):
    """Clusters of source images adapted to target images (MNIST to SVHN); its result is `classifier`."""

    name = "adaptation"

    def __init__(
        self,
        config: AdaptationConfig,
        source_images: Tensor,
        target_images: Tensor,
        source_clusters: Tensor,
        clusters: int,
    ) -> None:
        """Images uint8 (N, 3, S, S), S a multiple of 4; `source_clusters` int64 (N,) in [0, clusters).

        Raises ValueError for anything else.
        """
        for images in (source_images, target_images):
            shape = tuple(images.shape)
            square = images.ndim == 4 and shape[1] == 3 and shape[2] == shape[3]
            require(
                self.name, {f"uint8 (N, 3, S, S), not {images.dtype} {shape}": images.dtype == torch.uint8 and square}
            )
        super().__init__(config, source_images, target_images, source_clusters, clusters)
        self.classifier = ImageClassifier(source_images.shape[-1], clusters, config.width, config.bn_momentum)
        self.discriminator = ImageDiscriminator(self.classifier.phi_size, clusters, config.discriminator_width)
        self._optimise()

    def _pairs(self, rng: torch.Generator) -> tuple[Pair, Pair]:
        """One pair for both steps."""
        pair = self.draw_pair(rng)
        return pair, pair


class FeatureAdaptation(Adaptation):
    """Clusters of source features adapted to target features (real to sketch); its result is `classifier`."""

    name = "adaptation"

    def __init__(
        self,
        config: AdaptationConfig,
        source_features: Tensor,
        target_features: Tensor,
        source_clusters: Tensor,
        clusters: int,
    ) -> None:
        """Features float32 (N, D); `source_clusters` int64 (N,) in [0, clusters). Raises ValueError otherwise."""
        for features in (source_features, target_features):
            fits = features.dtype == torch.float32 and features.ndim == 2
            require(self.name, {f"float32 (N, D), not {features.dtype} {tuple(features.shape)}": fits})
        super().__init__(config, source_features, target_features, source_clusters, clusters)
        self.classifier = FeatureClassifier(source_features.shape[1], clusters, config.width)
        self.discriminator = FeatureDiscriminator(self.classifier.phi_size, clusters, config.discriminator_width)
        self._optimise()

    def _pairs(self, rng: torch.Generator) -> tuple[Pair, Pair]:
        """A pair for each step."""
        return self.draw_pair(rng), self.draw_pair(rng)
