"""CatS-UDT: Lavoie, Ahmed, Courville, "Integrating Categorical Semantics into Unsupervised Domain Translation",
ICLR 2021, arXiv 2010.01262. Written from the paper and a description of the authors' code.

Categories are learned first, without labels (`methods/semantics`): a frozen h gives the cluster of any image of either
domain. The translator is StarGAN v2's with the cluster in the *style* alone: x is translated with a style of the
target domain for h(x), made from noise (mapping network) or from an exemplar of the same cluster (style encoder), and a
semantic loss keeps the cluster. One generator serves both domains and directions.

Paper and code differ; ours follows the code, and the paper's form is an option:
- semantic loss: a classifier inside D, fitted on pseudo-labels; eq. 8, the frozen h: `semantic_loss=frozen_h`.
- adversarial form: non-saturating logistic + R1; the paper writes the minimax form and no R1.
- one discriminator with a head per domain serves both passes; the paper has d^f and d^s per domain.
- target domain: that of an image of the same cluster drawn from the union of both domains, so about half of the
  translations stay within a domain; always the opposite one: `pairing=opposite`.
- style reconstruction with the head of the *source* domain; of the target: `style_rec_domain=target`.
- style heads: index 2 d + c, so that domains share heads; no sharing: `style_heads=disjoint`.
- lambda_ds falls linearly to 0; the paper has constants (`anneal_ds=false`).
- lambda_ds 2; the paper's figure says 1: `lambda_ds=1`.
- lambda_sty is 1; the code's command for sketches sets 0: the variant `cats_udt:no_sty`.
- the reference pass steps the generator alone; the paper minimises over F, G, E and S in both.
- the return trip of the cycle uses the source's own cluster.
- the second image of the diversity term is detached.
- four bottleneck blocks, in every variant; the averaged networks start as copies.
- pseudo-labels are those of the clean images (officially of one augmented view of each picture, fixed for the run).
The differences of the semantic stages stand in their modules.

Deliberate differences from the code that change no expectation:
- Images are drawn uniformly with replacement (officially shuffled epochs over the union; drop last).
- `r1_share` < 1 computes R1 on that part of a batch, an unbiased estimate of the mean. 1 is the code.
- If no image of the target domain has the source's cluster (`pairing=opposite` only), any of its images stands in.
- Cheaper, same values: one pass of D for both of its outputs, no graph for detached images, content codes
  and translations shared by what the same weights make of them.

Traps: the style term's s is not detached; F learns 100 times slower; D's class term is on real images only; lambda_sem
scales the terms of D and of G; all heads are computed so that those not asked for get a gradient of 0 and still decay.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Code, Context, Domains, Exemplar, Noise, Phase, Progress, Style, Translator
from methods.category_tables import CategoryTables
from methods.cats_udt_variants import CONDITIONINGS, SEMANTIC_LOSSES, PlainGenerator, Sizes
from methods.parts.augment import random_flip, random_resized_crop
from methods.parts.checks import is_power_of_two, load_checked, require, without_prefix
from methods.parts.layers import he_init_layer, layer_widths
from methods.parts.losses import l1_loss, logistic_loss, r1_penalty
from methods.semantics.categories import CATEGORIES, build_categories
from methods.semantics.config import SemanticsConfig
from methods.stargan_v2 import Translated


@dataclass(frozen=True)
class CatsUDTConfig:
    """Settings; the defaults are those of the published MNIST -> SVHN command."""

    clusters: int = 0
    """Number of clusters; 0: as many as the task has classes (the harness fills it in)."""
    categories: str = "adapted"
    """Kind of h: `adapted`, `clustered` (not adapted), or `features` of the semantic encoder, without clusters."""
    conditioning: str = "style"
    """`style`, `none`, `content`; with features `style_features`, `content_features`."""
    semantic_loss: str = "classifier"
    """`classifier` (inside D), `frozen_h` (eq. 8); with features `features`."""
    pairing: str = "union"
    """`union`: the target is the domain of an image drawn from both; `opposite`: always the other domain."""
    style_rec_domain: str = "source"
    """Domain whose head reconstructs the style: `source` or `target`."""
    style_heads: str = "overlapping"
    """Index of a style head: `overlapping` 2 d + c or `disjoint` C d + c."""
    max_width: int = 512
    """Upper limit of the channels, after the first convolution."""
    base_width: int | None = None
    """Channels at full resolution; None: the official 2^14 / image size."""
    content_size: int = 16
    """Side of the content map, a power of two; Fig. 11 has 4."""
    bottleneck_blocks: int = 4
    """Residual blocks at the content map's size, on either side of it."""
    style_dim: int = 64
    """Width of a style code."""
    latent_dim: int = 16
    """Width of the noise z."""
    mapping_width: int = 512
    """Width of the mapping network's layers."""
    lambda_reg: float = 1.0
    """Weight of R1."""
    lambda_sem: float = 1.0
    """Weight of the semantic loss, in D and in G (code: lambda_class)."""
    lambda_sty: float = 1.0
    """Weight of the style reconstruction."""
    lambda_cyc: float = 1.0
    """Weight of the cycle term."""
    lambda_ds: float = 2.0
    """Initial weight of the diversity term (paper: lambda_SD)."""
    anneal_ds: bool = True
    """Whether lambda_ds falls linearly to 0 over the training."""
    r1_share: float = 1.0
    """Part of the batch on which R1 is computed, in (0, 1]."""
    learning_rate: float = 1e-4
    """Adam, for generator, style encoder, discriminator."""
    mapping_learning_rate: float = 1e-6
    """Adam, for the mapping network."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates."""
    weight_decay: float = 1e-4
    """L2, added to the gradient."""
    ema_decay: float = 0.999
    """Decay of the averaged networks."""
    batch_size: int = 8
    """Items per iteration, over both domains: even."""
    crop_probability: float = 0.5
    """Share of the images that are cropped at random (0.8 to 1 of the area) and resized; 0 for digits."""
    flip: bool = True
    """Mirror images left to right with probability 1/2 (not for digits)."""
    semantics: SemanticsConfig = field(default_factory=SemanticsConfig)
    """Settings of the stages that learn h."""

    def __post_init__(self) -> None:
        positive = ("max_width", "style_dim", "latent_dim", "mapping_width")
        at_least_0 = (
            *("clusters", "bottleneck_blocks", "lambda_reg", "lambda_sem", "lambda_sty", "lambda_cyc", "lambda_ds"),
            *("learning_rate", "mapping_learning_rate", "weight_decay"),
        )
        choices: dict[str, Collection[str]] = {
            "categories": CATEGORIES, "conditioning": CONDITIONINGS, "semantic_loss": SEMANTIC_LOSSES,
            "pairing": ("union", "opposite"), "style_rec_domain": ("source", "target"),
            "style_heads": ("overlapping", "disjoint"),
        }  # fmt: skip
        rules = {f"{name} > 0": getattr(self, name) > 0 for name in positive}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        rules |= {f"{name} one of {', '.join(known)}": getattr(self, name) in known for name, known in choices.items()}
        rules["base_width >= 1 or None"] = self.base_width is None or self.base_width >= 1
        rules["content_size that is a power of two, at least 2"] = (
            is_power_of_two(self.content_size) and self.content_size >= 2
        )
        rules["an even batch_size, at least 2"] = self.batch_size >= 2 and self.batch_size % 2 == 0
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        rules["ema_decay in [0, 1]"] = 0 <= self.ema_decay <= 1
        rules["crop_probability in [0, 1]"] = 0 <= self.crop_probability <= 1
        rules["r1_share in (0, 1]"] = 0 < self.r1_share <= 1
        require("CatS-UDT", rules)
        features = self.categories == "features"
        require(
            f"CatS-UDT with categories={self.categories}",
            {
                f"conditioning {'of' if features else 'without'} features": CONDITIONINGS[self.conditioning].continuous
                == features,
                "semantic_loss features" if features else "semantic_loss classifier or frozen_h": (
                    self.semantic_loss == "features"
                )
                == features,
            },
        )


@dataclass(frozen=True)
class Batch:
    """Every input of one iteration; B = `batch_size`, domains mixed."""

    x_source: Tensor
    """(B, 3, H, W) in [-1, 1]."""
    d_source: Tensor
    """int64 (B,): their domains."""
    cluster: Tensor
    """int64 (B,): their clusters h(x); 0 where the category is a feature."""
    x_ref: Tensor
    """(B, 3, H, W) in [-1, 1]: of the source's cluster and the target domain."""
    x_ref2: Tensor
    """(B, 3, H, W) in [-1, 1]: another one, for the diversity term."""
    d_target: Tensor
    """int64 (B,)."""
    z: Tensor
    """(B, latent_dim), standard normal."""
    z2: Tensor
    """(B, latent_dim), standard normal: for the diversity term."""
    lambda_ds: Tensor
    """0-d: the diversity weight of this iteration."""


class CatsUDT(Translator):
    """Style from noise (default) or from an exemplar, for the category of the source."""

    Config = CatsUDTConfig
    style_sources = ("noise", "exemplar")
    batch_rows = ("x_source", "d_source", "cluster", "x_ref", "x_ref2", "d_target", "z", "z2")

    def __init__(self, config: CatsUDTConfig, image_size: int) -> None:
        """Raises ValueError if the networks cannot take `image_size`."""
        super().__init__()
        smallest = max(8, config.content_size)
        require(
            f"CatS-UDT at {image_size} px",
            {
                f"an image size that is a power of two, at least {smallest}": is_power_of_two(image_size)
                and image_size >= smallest,
                "clusters >= 2": config.clusters >= 2 or config.categories == "features",
            },
        )
        self.config = config
        self.noise_dim = config.latent_dim
        self.ema_decay = config.ema_decay
        self.semantics = build_categories(config.categories, config.semantics, image_size, config.clusters)
        self.supervision = self.semantics.supervision
        self.semantic_loss = SEMANTIC_LOSSES[config.semantic_loss]()
        self.tables: CategoryTables | None = None
        sizes, conditioning = self._sizes(image_size), CONDITIONINGS[config.conditioning]
        self.generator = conditioning.generator(sizes)
        self.mapping_network = conditioning.mapping_network(sizes)
        self.style_encoder = conditioning.style_encoder(sizes)
        self.discriminator = self.semantic_loss.discriminator(sizes)
        for name, rate in self.learning_rates(Progress(0, 1)).items():
            network = getattr(self, name).apply(he_init_layer)
            self.optimizers[name] = Adam(
                network.parameters(), lr=rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
            )
        self.track_ema("generator", "mapping_network", "style_encoder")

    def _sizes(self, image_size: int) -> Sizes:
        c = self.config
        first = c.base_width or max(1, 2**14 // image_size)
        return Sizes(
            image_size=image_size,
            widths=tuple(layer_widths(first, c.max_width, int(math.log2(image_size // c.content_size)))),
            cap=c.max_width,
            content_size=c.content_size,
            bottleneck_blocks=c.bottleneck_blocks,
            style_dim=c.style_dim,
            latent_dim=c.latent_dim,
            mapping_width=c.mapping_width,
            category_dim=self.semantics.category_dim,
            style_heads=c.style_heads,
        )

    @property
    def images_per_step(self) -> int:
        """Half of the batch per domain, in expectation for domains of equal size."""
        return self.config.batch_size // 2

    def check_divisible(self, parts: int) -> None:
        """R1 on a share of the batch needs equal shares of its parts, too."""
        super().check_divisible(parts)
        share, batch_size = self.config.r1_share, self.config.batch_size
        if parts * math.ceil(share * (batch_size // parts)) != math.ceil(share * batch_size):
            raise ValueError(f"r1_share {share} of batch_size {batch_size} is not {parts} times a number of images")

    # ------------------------------------------------------------------------------------------------ training

    def prepare(self, domains: Domains, context: Context) -> None:
        """Learn h, then give every training image its cluster, once (section 3.2 of the paper)."""
        self.semantics.learn(domains, context)
        self.tables = CategoryTables([self.semantics.of_all(images) for images in domains.images])
        self.remarks = self.tables.remarks() if self.semantics.discrete else ()

    def prepare_to_count(self, domains: Domains, context: Context) -> None:
        """Clusters in turn in place of learned ones."""
        clusters = max(1, self.config.clusters)
        self.tables = CategoryTables([torch.arange(count) % clusters for count in domains.sizes])

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """Sources uniform over the union of both domains, exemplars of their cluster."""
        if self.tables is None:
            raise RuntimeError("CatS-UDT draws exemplars by cluster: call prepare first")
        c = self.config
        source, target = self.tables.draw(c.batch_size, rng, opposite=c.pairing == "opposite")
        remaining = 1.0 - progress.fraction if c.anneal_ds else 1.0
        return Batch(
            x_source=self._images(domains, source.domain, source.row, rng),
            d_source=source.domain.to(domains.device),
            cluster=source.cluster.to(domains.device),
            x_ref=self._images(domains, target.domain, target.row, rng),
            x_ref2=self._images(domains, target.domain, target.row2, rng),
            d_target=target.domain.to(domains.device),
            z=torch.randn(c.batch_size, c.latent_dim, generator=rng).to(domains.device),
            z2=torch.randn(c.batch_size, c.latent_dim, generator=rng).to(domains.device),
            lambda_ds=torch.tensor(c.lambda_ds * remaining, dtype=torch.float32, device=domains.device),
        )

    def _images(self, domains: Domains, domain: Tensor, row: Tensor, rng: torch.Generator) -> Tensor:
        """The augmented images `row` (B,) of `domain` (B,): (B, 3, H, W) in [-1, 1]."""
        images = domains.gather(domain, row)
        if self.config.crop_probability > 0:
            images = random_resized_crop(images, self.config.crop_probability, rng)
        return random_flip(images, rng) if self.config.flip else images

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """D on latent styles, D on reference styles, G with F and S on latent styles, G alone on reference styles."""
        c = self._categories(batch)
        # D's steps leave G and F as they are: what D is shown first is, with its graph, what G is trained on after.
        latent = self._translated(batch, c, self.mapping_network(batch.z, c, batch.d_target))
        fake_reference = self._detached_reference_fake(batch, c, latent.content)
        yield Phase(trains=("discriminator",), losses=self._discriminator_losses(batch, c, latent.fake.detach()))
        yield Phase(trains=("discriminator",), losses=self._discriminator_losses(batch, c, fake_reference))

        s2 = self.mapping_network(batch.z2, c, batch.d_target).detach()
        s_source = self.style_encoder(batch.x_source, c, batch.d_source)
        losses = self._generator_losses(batch, c, latent, s2, s_source)
        yield Phase(trains=("generator", "mapping_network", "style_encoder"), losses=losses)

        s, s2, s_source = self._reference_styles(batch, c)
        losses = self._generator_losses(batch, c, self._translated(batch, c, s), s2, s_source)
        yield Phase(trains=("generator",), losses=losses)

    @torch.no_grad()
    def _categories(self, batch: Batch) -> Tensor:
        """The sources' categories: their clusters, or the frozen features of what is shown."""
        return self.semantics.describe(batch.x_source, batch.cluster)

    def _translated(self, batch: Batch, c: Tensor, s: Tensor) -> Translated:
        """The sources in the styles `s` (B, style_dim)."""
        content = self.generator.encode_with(batch.x_source, c)
        return Translated(content, s, self.generator.render(content, s))

    @torch.no_grad()
    def _detached_reference_fake(self, batch: Batch, c: Tensor, content: Tensor) -> Tensor:
        """Translations that D is shown with reference styles, (B, 3, H, W), made before F and S change."""
        return self.generator.render(content, self.style_encoder(batch.x_ref, c, batch.d_target))

    @torch.no_grad()
    def _reference_styles(self, batch: Batch, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Styles of x_ref, x_ref2 and x_source, (B, style_dim) each; no graph, for this pass steps G alone."""
        images = torch.cat([batch.x_ref, batch.x_ref2, batch.x_source])
        domains = torch.cat([batch.d_target, batch.d_target, batch.d_source])
        s, s2, s_source = self.style_encoder(images, torch.cat([c, c, c]), domains).chunk(3)
        return s, s2, s_source

    def _discriminator_losses(self, batch: Batch, c: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Real and fake (paper: d in eqs. 3 and 6), R1, and the class term on the real images."""
        config, x = self.config, batch.x_source
        first = math.ceil(config.r1_share * len(x))
        penalised = x[:first].detach().requires_grad_()
        real_first, clusters_first = self.discriminator(penalised, batch.d_source[:first])
        r1 = config.lambda_reg * r1_penalty(real_first, penalised)
        # One pass for everything that needs no gradient with respect to images: rows do not depend on each other.
        others = torch.cat([x[first:], fake]), torch.cat([batch.d_source[first:], batch.d_target])
        on_others, clusters_others = self.discriminator(*others)
        rest = len(x) - first
        on_real, on_fake = torch.cat([real_first, on_others[:rest]]), on_others[rest:]
        clusters = torch.cat([clusters_first, clusters_others[:rest]])
        losses = {"real": logistic_loss(on_real, real=True), "fake": logistic_loss(on_fake, real=False), "r1": r1}
        of_class = self.semantic_loss.of_discriminator(clusters, c)
        if of_class is not None and config.lambda_sem > 0:
            losses["sem"] = config.lambda_sem * of_class
        return losses

    def _generator_losses(
        self, batch: Batch, c: Tensor, translated: Translated, s2: Tensor, s_source: Tensor
    ) -> dict[str, Tensor]:
        """Adversarial, semantic (eq. 8), style (eq. 5), cycle (eq. 4) and diversity (eq. 7) terms."""
        config, x, fake = self.config, batch.x_source, translated.fake
        on_fake, clusters = self.discriminator(fake, batch.d_target)
        losses = {"adv": logistic_loss(on_fake, real=True)}
        if config.lambda_sem > 0:
            losses["sem"] = config.lambda_sem * self.semantic_loss.of_generator(fake, clusters, c, self.semantics)
        if config.lambda_sty > 0:
            head = batch.d_source if config.style_rec_domain == "source" else batch.d_target
            losses["sty"] = config.lambda_sty * l1_loss(self.style_encoder(fake, c, head), translated.s)
        if config.lambda_cyc > 0:
            back = self.generator.render(self.generator.encode_with(fake, c), s_source)
            losses["cyc"] = config.lambda_cyc * l1_loss(back, x)
        if config.lambda_ds > 0:
            # After the calls that need a graph: autocast keeps the weights it has cast, and those cast first without a
            # graph would then be used without one.
            with torch.no_grad():
                other = self.generator.render(translated.content, s2)
            losses["ds"] = -batch.lambda_ds * l1_loss(fake, other)
        return losses

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """Constant rates."""
        rate = self.config.learning_rate
        return {
            "generator": rate,
            "mapping_network": self.config.mapping_learning_rate,
            "style_encoder": rate,
            "discriminator": rate,
        }

    # ----------------------------------------------------------------------------------------------- inference

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """EMA networks, the category of `x` by h; `source` does not matter."""
        self.check_style(style)
        c = self.semantics.of(x)
        s = self._style_code(style, c, target)
        generator = self.ema["generator"]
        assert isinstance(generator, PlainGenerator)
        return generator.render(generator.encode_with(x, c), s).clamp(-1.0, 1.0)

    def _style_code(self, style: Style, c: Tensor, target: int) -> Tensor:
        """Code (B, style_dim) of a style of domain `target` for categories `c`, by the EMA networks."""
        domain = torch.full((len(c),), target, device=c.device)
        match style:
            case Code(s):
                return s
            case Noise(z):
                return self.ema["mapping_network"](z, c, domain)
            case Exemplar(image):
                return self.ema["style_encoder"](image, c, domain)
        raise TypeError(f"no style code for {style!r:.60}")

    @property
    def clustered_domain(self) -> int | None:
        """That of the semantics; None where a category is a feature."""
        return self.config.semantics.clustered_domain if self.semantics.discrete else None

    def clusters_of(self, images: Tensor) -> Tensor:
        """h of every image."""
        return self.semantics.of_all(images)

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """generator, mapping_network, style_encoder, each into the live and the averaged network; discriminator;
        `semantics`, the classifier of the semantic stage (IMSAT's, or that of the adaptation). Any part may be given.

        The original numbers domains alphabetically, so for sketches and reals domain 0 is *real*. Raises ValueError,
        see `load_checked`.
        """
        targets: dict[str, list[nn.Module]] = {
            name: [getattr(self, name), self.ema[name]] for name in ("generator", "mapping_network", "style_encoder")
        }
        targets["discriminator"] = [self.discriminator]
        targets["semantics"] = [self.semantics.network]
        load_checked(targets, {name: without_prefix(state) for name, state in state_dicts.items()})
