"""DRIT++: Lee et al., "DRIT++: Diverse Image-to-Image Translation via Disentangled Representations", IJCV 2020,
arXiv 1905.01270, and its first form, Lee et al., ECCV 2018, arXiv 1808.00948. Written from the papers and a description
of the authors' code (last commit, 2020, which is DRIT++: mode seeking is on).

An image is a content map, in a space common to both domains, and an attribute vector of its domain. Two images exchange
attributes, and exchanging them back must give the images. A content discriminator makes the contents of the domains
alike. Attributes come from an image ("encoded") or from N(0, I) ("random"), and each domain has a discriminator for the
images made with the first (D) and another for those made with the second (D2). Networks: methods/drit_networks.py.

Two forms: `attribute="concat"`, the default, advised where shapes change little; `"feature_wise"`, where they change
more. Here B = `batch_size` counts *pairs*: images 0 are encoded, images 1 are only what D2 takes for real. The
published "batch 2" is B = 1.

Deliberate differences from the official code:
- Its second encoder/generator step fails on torch >= 1.5: it goes back through weights that the first step has changed.
  Here a fresh forward pass stands between the two, with the same draws (z, noise of the contents).
- Of three minibatches, two train the content discriminator alone, on their images 0. Their images 1 are never used, and
  so not drawn. Officially the last two minibatches of an epoch are both full iterations; there are no epochs here.
- Images are drawn uniformly with replacement; the decay is a function of the budget (official: of 1200 epochs).
- Official: images of 256 px, random crops of 216 for training, the centre crop for testing. Here images keep their
  size: they are enlarged by 256/216 and cropped, so what is seen of an image is the same, at the full output size.
- For B > 1, which is not published: means over the batch, also of the KL term; mode seeking is a ratio of such means.
- Exemplars give the *mean* attribute in the concatenation form; officially it is sampled at test time, too.
- `content_discriminator="small"` for images below 212 px, where the published one does not fit.
- The alternative discriminators (one scale, spectral norm) are left out.
- Cheaper, same values: networks without batch statistics are called once for several inputs; the generator's shared
  layers are computed once per content; images that are detached are made without a graph.

Traps: leaky slope 0.01, but 0.2 in the concatenation form's attribute encoder; cross-entropy, not LSGAN, summed over
scales; D2 counts its real images twice; the encoder wants 1/2 from the content discriminator for *both* domains; the
content norm is of the noisy contents; z is shared by both directions; the second step leaves the attribute encoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam

from methods import drit_networks as networks
from methods.base import Code, Domains, Exemplar, Noise, Phase, Progress, Style, Translator
from methods.parts.augment import enlarge_and_crop, random_flip
from methods.parts.checks import load_checked, require, without_prefix
from methods.parts.losses import l1_loss, logistic_loss, wide


class AttributeForm(NamedTuple):
    """Way in which attributes are encoded and enter the generator."""

    encoder: type[networks.ConcatAttributeEncoder | networks.FeatureWiseAttributeEncoder]
    generator: type[networks.ConcatGenerator | networks.FeatureWiseGenerator]


ATTRIBUTE_FORMS = {
    "concat": AttributeForm(networks.ConcatAttributeEncoder, networks.ConcatGenerator),
    "feature_wise": AttributeForm(networks.FeatureWiseAttributeEncoder, networks.FeatureWiseGenerator),
}
CONTENT_DISCRIMINATORS = {
    "published": networks.ContentDiscriminator,
    "small": networks.SmallContentDiscriminator,
}
IMAGE_DISCRIMINATORS = ("discriminator_a", "discriminator_a2", "discriminator_b", "discriminator_b2")


@dataclass(frozen=True)
class DRITConfig:
    """Settings; the defaults are the published ones for 256 px."""

    attribute: str = "concat"
    """Form of the attributes, a key of ATTRIBUTE_FORMS: `concat` or `feature_wise`."""
    width: int = 64
    """Channels of the first layer of every network; the others are multiples of it."""
    attribute_dim: int = 8
    """Width of an attribute vector and of the noise z."""
    discriminator_scales: int = 3
    """Scales of an image discriminator; each halves the image."""
    discriminator_layers: int = 4
    """Stride-2 convolutions per scale; the last scale's image needs a side of at least 2 to this power."""
    content_discriminator: str = "published"
    """A key of CONTENT_DISCRIMINATORS: `published` (images of 212 px or more) or `small`."""
    content_updates: int = 2
    """Minibatches per iteration that train the content discriminator alone (official d_iter = 3, less the full one)."""
    lambda_rec: float = 10.0
    """Weight of the cross-cycle reconstruction (L1^cc)."""
    lambda_self: float = 10.0
    """Weight of the self-reconstruction (L1^recon)."""
    lambda_norm: float = 0.01
    """Weight of the mean square of the contents (not in the paper)."""
    lambda_prior: float = 0.01
    """Weight of what draws encoded attributes to N(0, I): KL (concat) or mean square (feature-wise)."""
    lambda_latent: float = 10.0
    """Weight of the latent regression (L1^latent)."""
    lambda_ms: float = 1.0
    """Weight of the mode-seeking term of DRIT++."""
    learning_rate: float = 1e-4
    """Adam, all networks but the content discriminator, before the decay."""
    content_learning_rate: float = 4e-5
    """Adam, the content discriminator, before the decay."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates."""
    weight_decay: float = 1e-4
    """L2, added to the gradient, of every weight."""
    content_clip: float = 5.0
    """Upper limit of the content discriminator's gradient norm."""
    batch_size: int = 1
    """Pairs (image 0, image 1) per domain and minibatch."""
    constant_fraction: float = 0.5
    """Share of the training at the full learning rate; then linear decay to 0."""
    enlarge: float = 256 / 216
    """Images are enlarged by this factor and cropped at random to their size; 1 = off."""
    flip: bool = True
    """Mirror images left to right with probability 1/2 (not for digits)."""

    def __post_init__(self) -> None:
        at_least_1 = ("width", "attribute_dim", "discriminator_scales", "discriminator_layers", "batch_size", "enlarge")
        at_least_0 = (
            *("content_updates", "lambda_rec", "lambda_self", "lambda_norm", "lambda_prior", "lambda_latent"),
            *("lambda_ms", "learning_rate", "content_learning_rate", "weight_decay"),
        )
        rules = {f"{name} >= 1": getattr(self, name) >= 1 for name in at_least_1}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        for name, table in (("attribute", ATTRIBUTE_FORMS), ("content_discriminator", CONTENT_DISCRIMINATORS)):
            rules[f"{name} one of {', '.join(table)}"] = getattr(self, name) in table
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        rules["content_clip > 0"] = self.content_clip > 0
        rules["constant_fraction in [0, 1]"] = 0 <= self.constant_fraction <= 1
        require("DRIT", rules)


@dataclass(frozen=True)
class Batch:
    """Every input of one iteration. B = `batch_size`, N = `content_updates` * B, d = `attribute_dim`.

    Noise of contents is standard normal and flat: C h w are the elements of a content map. Its index 0 is of domain A.
    """

    content_a: Tensor
    """(N, 3, H, W) in [-1, 1], domain 0: for the content discriminator's own minibatches."""
    content_b: Tensor
    """(N, 3, H, W) in [-1, 1], domain 1: likewise."""
    encoded_a: Tensor
    """(B, 3, H, W) in [-1, 1], domain 0: the images 0."""
    encoded_b: Tensor
    """(B, 3, H, W) in [-1, 1], domain 1: the images 0."""
    random_a: Tensor
    """(B, 3, H, W) in [-1, 1], domain 0: the images 1."""
    random_b: Tensor
    """(B, 3, H, W) in [-1, 1], domain 1: the images 1."""
    content_noise: Tensor
    """(2, N, C h w): on the contents of content_a, content_b."""
    encoded_noise: Tensor
    """(2, B, C h w): on the contents of encoded_a, encoded_b."""
    fake_noise: Tensor
    """(2, B, C h w): on the contents of the fakes of domain 0, domain 1."""
    encoded_eps: Tensor
    """(2, B, d), standard normal: for the attributes of encoded_a, encoded_b (concat)."""
    fake_eps: Tensor
    """(2, B, d), standard normal: for the attributes of the fakes (concat)."""
    z: Tensor
    """(B, d), standard normal: random attributes, the same for both directions."""
    z2: Tensor
    """(B, d), standard normal: the second ones."""


class DRIT(Translator):
    """Domain A is 0, domain B is 1."""

    Config = DRITConfig
    indivisible = "a step consumes several minibatches, whose noise is laid out for all of them together"
    style_sources = ("noise", "exemplar")

    def __init__(self, config: DRITConfig, image_size: int) -> None:
        """Raises ValueError if the networks cannot take `image_size`."""
        super().__init__()
        content_network = CONTENT_DISCRIMINATORS[config.content_discriminator]
        smallest_scale = -(-image_size // 2 ** (config.discriminator_scales - 1))  # rounded up
        require(
            f"DRIT at {image_size} px",
            {
                "an image size that is a multiple of 4, at least 16": image_size % 4 == 0 and image_size >= 16,
                f"an image size of at least {4 * content_network.smallest} for content_discriminator="
                f"{config.content_discriminator} (or content_discriminator=small)": image_size // 4
                >= content_network.smallest,
                f"fewer discriminator_scales or discriminator_layers: the last scale has {smallest_scale} px, and "
                f"{config.discriminator_layers} layers need {2**config.discriminator_layers}": smallest_scale
                >= 2**config.discriminator_layers,
            },
        )
        self.config = config
        self.noise_dim = config.attribute_dim
        self.content_shape = (4 * config.width, image_size // 4, image_size // 4)
        form = ATTRIBUTE_FORMS[config.attribute]
        self.content_encoder = networks.ContentEncoder(config.width)
        self.attribute_encoder = form.encoder(config.width, config.attribute_dim)
        self.generator = form.generator(config.width, config.attribute_dim)
        sizes = (config.width, config.discriminator_scales, config.discriminator_layers)
        self.discriminator_a, self.discriminator_a2 = (networks.Discriminator(*sizes) for _ in range(2))
        self.discriminator_b, self.discriminator_b2 = (networks.Discriminator(*sizes) for _ in range(2))
        self.discriminator_content = content_network(4 * config.width, image_size // 4)
        self.apply(networks.init_drit_network)
        for name, rate in self.learning_rates(Progress(0, 1)).items():
            parameters = getattr(self, name).parameters()
            self.optimizers[name] = Adam(
                parameters, lr=rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
            )

    @property
    def images_per_step(self) -> int:
        """Images drawn per domain: image 0 of every minibatch, image 1 of the full one. Published: 2 + 2 = 4.

        The official loader reads the images 1 of the other minibatches, too (6 in all), and does not use them.
        """
        return (self.config.content_updates + 2) * self.config.batch_size

    # ------------------------------------------------------------------------------------------------ training

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """Independent images of both domains; all noise."""
        c = self.config
        count, extra = c.batch_size, c.content_updates * c.batch_size
        content_a, encoded_a, random_a = self._images(domains, 0, rng).split([extra, count, count])
        content_b, encoded_b, random_b = self._images(domains, 1, rng).split([extra, count, count])

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=rng).to(domains.device)

        channels, height, width = self.content_shape
        content = channels * height * width
        return Batch(
            content_a, content_b, encoded_a, encoded_b, random_a, random_b,
            content_noise=normal(2, extra, content),
            encoded_noise=normal(2, count, content),
            fake_noise=normal(2, count, content),
            encoded_eps=normal(2, count, c.attribute_dim),
            fake_eps=normal(2, count, c.attribute_dim),
            z=normal(count, c.attribute_dim),
            z2=normal(count, c.attribute_dim),
        )  # fmt: skip

    def _images(self, domains: Domains, domain: int, rng: torch.Generator) -> Tensor:
        """One domain's augmented images of an iteration: (images_per_step, 3, H, W) in [-1, 1]."""
        images = enlarge_and_crop(domains.sample(domain, self.images_per_step, rng), self.config.enlarge, rng)
        return random_flip(images, rng) if self.config.flip else images

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """The content discriminator's own steps; all discriminators; encoders and generator in two steps."""
        for content_a, content_b in self._contents_of_own_minibatches(batch):
            yield self._content_discriminator_phase(content_a, content_b)

        # Nothing up to the first encoder/generator step changes their weights: its graph can be made before.
        content_a, content_b = self._contents(batch.encoded_a, batch.encoded_b, batch.encoded_noise)
        z_a, prior_a = self.attribute_encoder(batch.encoded_a, 0, batch.encoded_eps[0])  # (B, d), (B,)
        z_b, prior_b = self.attribute_encoder(batch.encoded_b, 1, batch.encoded_eps[1])
        shared_a, shared_b = self.generator.shared(torch.cat([content_a, content_b])).chunk(2)
        # Each domain's image with the other's content, and the image itself again.
        fake_a, self_a = self.generator.decode(torch.cat([shared_b, shared_a]), torch.cat([z_a, z_a]), 0).chunk(2)
        fake_b, self_b = self.generator.decode(torch.cat([shared_a, shared_b]), torch.cat([z_b, z_b]), 1).chunk(2)

        # Five discriminators without a common weight: one phase for all but the one whose gradient is clipped.
        with torch.no_grad():
            random_a, random_b = self._random_images(shared_a, shared_b, batch)
        yield Phase(
            trains=IMAGE_DISCRIMINATORS,
            losses={
                **self._discriminator_losses("a", batch.encoded_a, fake_a.detach(), batch.random_a, random_a),
                **self._discriminator_losses("b", batch.encoded_b, fake_b.detach(), batch.random_b, random_b),
            },
        )
        yield self._content_discriminator_phase(content_a.detach(), content_b.detach())

        losses = self._cycle_losses(batch, fake_a, fake_b)
        losses |= self._content_losses(content_a, content_b)
        losses["self_a"] = self.config.lambda_self * l1_loss(self_a, batch.encoded_a)
        losses["self_b"] = self.config.lambda_self * l1_loss(self_b, batch.encoded_b)
        losses["prior_a"] = self.config.lambda_prior * prior_a.mean()
        losses["prior_b"] = self.config.lambda_prior * prior_b.mean()
        yield Phase(trains=("content_encoder", "attribute_encoder", "generator"), losses=losses)

        content_a, content_b = self._contents(batch.encoded_a, batch.encoded_b, batch.encoded_noise)
        shared_a, shared_b = self.generator.shared(torch.cat([content_a, content_b])).chunk(2)
        random_a, random_b = self._random_images(shared_a, shared_b, batch)
        losses = self._random_losses("a", random_a, batch) | self._random_losses("b", random_b, batch)
        yield Phase(trains=("content_encoder", "generator"), losses=losses)

    def _contents(self, a: Tensor, b: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy contents (B, C, h, w) of images of A and of B; `noise` (2, B, C h w)."""
        content_a, content_b = self.content_encoder.both(a, b)
        return content_a + noise[0].view_as(content_a), content_b + noise[1].view_as(content_b)

    @torch.no_grad()
    def _contents_of_own_minibatches(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Contents (B, C, h, w) of A and of B, for each of the content discriminator's own minibatches."""
        if self.config.content_updates == 0:
            return []
        content_a, content_b = self._contents(batch.content_a, batch.content_b, batch.content_noise)
        size = self.config.batch_size
        return list(zip(content_a.split(size), content_b.split(size), strict=True))

    def _random_images(self, shared_a: Tensor, shared_b: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images of A and of B with the other domain's content, each first for `z`, then for `z2`: (2B, 3, H, W)."""
        z = torch.cat([batch.z, batch.z2])
        return (
            self.generator.decode(torch.cat([shared_b, shared_b]), z, 0),
            self.generator.decode(torch.cat([shared_a, shared_a]), z, 1),
        )

    def _discriminator_losses(
        self, letter: str, real: Tensor, fake: Tensor, real2: Tensor, random: Tensor
    ) -> dict[str, Tensor]:
        """D tells `real` from `fake`; D2 tells `real2` from the images for z, and again from those for z2."""
        count = len(real)
        maps = getattr(self, f"discriminator_{letter}")(torch.cat([real, fake]))
        maps2 = getattr(self, f"discriminator_{letter}2")(torch.cat([real2, random]))  # B and 2B images
        return {
            f"real_{letter}": drit_cross_entropy([m[:count] for m in maps], real=True),
            f"fake_{letter}": drit_cross_entropy([m[count:] for m in maps], real=False),
            f"real_{letter}2": 2 * drit_cross_entropy([m[:count] for m in maps2], real=True),
            f"fake_{letter}2": 2 * drit_cross_entropy([m[count:] for m in maps2], real=False),  # the sum of two means
        }

    def _content_discriminator_phase(self, content_a: Tensor, content_b: Tensor) -> Phase:
        """L_adv^content for D: B's contents are "real"."""
        on_a, on_b = self.discriminator_content(torch.cat([content_a, content_b])).chunk(2)
        losses = {"content_a": logistic_loss(on_a, real=False), "content_b": logistic_loss(on_b, real=True)}
        return Phase(trains=("discriminator_content",), losses=losses, clip_norm=self.config.content_clip)

    def _content_losses(self, content_a: Tensor, content_b: Tensor) -> dict[str, Tensor]:
        """L_adv^content for the encoder, cross-entropy with 1/2 for both domains; the norm of the noisy contents."""
        logits = self.discriminator_content(torch.cat([content_a, content_b])).chunk(2)
        losses = {}
        for letter, content, on_content in zip("ab", (content_a, content_b), logits, strict=True):
            losses[f"content_{letter}"] = 0.5 * (
                logistic_loss(on_content, real=True) + logistic_loss(on_content, real=False)
            )
            losses[f"norm_{letter}"] = self.config.lambda_norm * wide(content).square().mean()
        return losses

    def _cycle_losses(self, batch: Batch, fake_a: Tensor, fake_b: Tensor) -> dict[str, Tensor]:
        """The fakes must deceive D, and exchanging their attributes back must give the images (L1^cc)."""
        content_b, content_a = self._contents(fake_a, fake_b, batch.fake_noise)  # a fake has the other's content
        z_a, _ = self.attribute_encoder(fake_a, 0, batch.fake_eps[0])
        z_b, _ = self.attribute_encoder(fake_b, 1, batch.fake_eps[1])
        return {
            "adv_a": drit_cross_entropy(self.discriminator_a(fake_a), real=True),
            "adv_b": drit_cross_entropy(self.discriminator_b(fake_b), real=True),
            "rec_a": self.config.lambda_rec * l1_loss(self.generator(content_a, z_a, 0), batch.encoded_a),
            "rec_b": self.config.lambda_rec * l1_loss(self.generator(content_b, z_b, 1), batch.encoded_b),
        }

    def _random_losses(self, letter: str, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Losses of images (2B, 3, H, W) of one domain: deceive D2, latent regression, mode seeking (L_ms)."""
        for_z, for_z2 = images.chunk(2)
        attribute = self.attribute_encoder.mean(for_z, "ab".index(letter))
        ratio = l1_loss(for_z2, for_z) / l1_loss(batch.z2, batch.z)
        maps = getattr(self, f"discriminator_{letter}2")(images)
        return {
            f"adv_{letter}2": 2 * drit_cross_entropy(maps, real=True),  # the sum of two means
            f"latent_{letter}": self.config.lambda_latent * l1_loss(attribute, batch.z),
            f"ms_{letter}": self.config.lambda_ms / (ratio + 1e-5),
        }

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """Constant for `constant_fraction` of the training, then linear to 0 at its end (not reached)."""
        c = self.config
        constant = c.constant_fraction
        done = max(0.0, progress.fraction - constant) / (1.0 - constant) if constant < 1 else 0.0
        names = ("content_encoder", "attribute_encoder", "generator", *IMAGE_DISCRIMINATORS)
        rates = {**dict.fromkeys(names, c.learning_rate), "discriminator_content": c.content_learning_rate}
        return {name: rate * (1.0 - done) for name, rate in rates.items()}

    # ----------------------------------------------------------------------------------------------- inference

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """Translate without noise on the content, as the official code does at test time."""
        self.check_style(style)
        content = self.content_encoder(x, source)
        return self.generator(content, self.attribute(style, target), target).clamp(-1.0, 1.0)

    @torch.no_grad()
    def attribute(self, style: Style, target: int) -> Tensor:
        """Attribute vector (B, d) of a style: z itself, or the mean for an exemplar of domain `target`."""
        match style:
            case Noise(z) | Code(z):
                return z
            case Exemplar(image):
                return self.attribute_encoder.mean(image, target)
        raise TypeError(f"no attribute for {style!r:.60}")

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Any of enc_c, enc_a, gen, disA, disA2, disB, disB2, disContent, or the whole content of a checkpoint file.

        Optimisers (`..._opt`) and counters of the file are ignored. Raises ValueError, see `load_checked`.
        """
        targets: dict[str, list[nn.Module]] = {
            "enc_c": [self.content_encoder],
            "enc_a": [self.attribute_encoder],
            "gen": [self.generator],
            "disContent": [self.discriminator_content],
        }
        letters = ("A", "A2", "B", "B2")
        for letter, name in zip(letters, IMAGE_DISCRIMINATORS, strict=True):
            targets[f"dis{letter}"] = [getattr(self, name)]
        states = {
            name: {_plain_linear(key): value for key, value in without_prefix(state).items()}
            for name, state in state_dicts.items()
            if not (name.endswith("_opt") or name in ("ep", "total_it"))
        }
        load_checked(targets, states)


def _plain_linear(key: str) -> str:
    """The key of an attribute encoder's linear layer without the index that it has inside a `Sequential`."""
    return re.sub(r"^(fc(?:Var)?_[AB])\.0\.", r"\1.", key)


def drit_cross_entropy(maps: Sequence[Tensor], real: bool) -> Tensor:
    """Cross-entropy of logits with the label 1 (`real`) or 0: mean of each scale's map (B, 1, h, w), summed."""
    return torch.stack([logistic_loss(logits, real) for logits in maps]).sum()
