"""EGSC-IT: Ma, Jia, Georgoulis, Tuytelaars, Van Gool, "Exemplar Guided Unsupervised Image-to-Image Translation with
Semantic Consistency", ICLR 2019, arXiv 1805.11145. Written from a description of the authors' TensorFlow code.

Two encoders into one latent space and two generators out of it, as in UNIT. The style comes from an exemplar of the
target domain: at one place, the generator's entrance, the latent is weighted by a soft mask (features of the source)
and then takes on statistics of the exemplar's features. Those features come from autoencoders that are trained on each
domain alone first (stage 1, `egsc_it_autoencoder.py`) and are frozen. A classifier's features (VGG-19) keep the content
of the source and the style of the exemplar: its labels make the **supervision weak**.

Deliberate differences from the official code:
- The latent noise at inference is one fixed map for all images, part of the state. Officially it is drawn anew, so that
  the same image and exemplar give another result each time. Not zero, for the generators never saw latents without it.
- Iterations instead of epochs: images are drawn uniformly with replacement. The learning rate falls over the *budget*.
- One Adam per network, which equals the official joint ones, and one pass for all images that a network sees at a time.
- `discriminator_layers`, for images below 17 px.
- What the description leaves open: a crop has 80 to 100 % of each side (area uniform), and the step of stage 1 on the
  discriminators sees other images than that on the autoencoders, as in stage 2.
- The variants without mask or without exemplar, and images of other sizes than the exemplar, are left out.

Traps: `statistics=published` is no AdaIN: the exemplar's mean is the gain, its variance the shift, and the latent is
divided by its variance, not by its standard deviation (noise keeps that away from 0). The mask comes from the source by
the *source's* autoencoder, the statistics from the exemplar by the *target's*; the way back of a cycle keeps those of
the originals. The latent term is on noisy latents, and its weight enters twice. Five steps of the generators for one of
the discriminators, each on new images. VGG-19 has the original Caffe weights; its maps are normalised over space, not
over channels, and the Gram matrices divided by H W alone. No normalisation in the generators: mind the learning rate.
See also `egsc_it_autoencoder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Context, Domains, Exemplar, Phase, Progress, Style, Translator
from methods.egsc_it_autoencoder import (
    AutoencoderConfig,
    Autoencoders,
    Discriminator,
    autoencoder_blocks,
    autoencoder_discriminator_losses,
    autoencoder_from_tensorflow,
    autoencoder_images,
    autoencoder_latent_shape,
    decayed_autoencoder_rate,
    encoder_of_autoencoder,
    generator_of_autoencoder,
    initialise_autoencoder,
)
from methods.parts.backbones import VGGFeatures, build_backbone, load_backbone
from methods.parts.checks import load_checked, require
from methods.parts.losses import l1_loss, least_squares_loss, wide

PERCEPTUAL = ("vgg19_caffe", "vgg19_imagenet", "vgg19", "stand_in")
"""Encoders (methods.parts.backbones) that give the features of five stages."""


@dataclass(frozen=True)
class EGSCITConfig:
    """Settings; the defaults are the published ones for CelebA, of the published tasks the nearest to pictures of one
    object."""

    width: int = 64
    """Channels of the first stage of encoders and generators; doubled in each further stage."""
    stages: int = 3
    """Resolutions of encoders and generators (n): 3 from 112 px on, 1 for recolouring digits of 28 px."""
    discriminator_width: int = 64
    """Channels of the discriminators' first convolution."""
    discriminator_layers: int = 4
    """Stride-2 convolutions of the discriminators: 4 from 17 px on, 3 from 9 px."""
    statistics: str = "published"
    """Transfer of the exemplar's statistics to the latent: `published`, or `adain` (mean and standard deviation)."""
    perceptual: str = "vgg19_caffe"
    """The classifier whose features compare content and style (trained on labels): one of PERCEPTUAL."""
    lambda_adv: float = 10.0
    """Weight of each adversarial term (LSGAN), also in the discriminators."""
    lambda_rec: float = 100.0
    """Weight of each reconstruction within a domain, an L1 mean."""
    lambda_cyc: float = 100.0
    """Weight of each cycle term, an L1 mean."""
    lambda_latent: float = 0.1
    """Weight of a mean squared latent; it enters once for each of two domains."""
    lambda_style: float = 5e3
    """Weight of the style term (w_s): 1e3 for MNIST."""
    lambda_content: float = 1e1
    """Weight of the content term (w_c)."""
    init_std: float = 0.02
    """Standard deviation of the first weights, discriminators' apart. Narrow networks need more: the signal drowns in
    the latent noise, which has 1."""
    learning_rate: float = 1e-4
    """Adam, all networks, before the decay; 1e-5 for MNIST."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates."""
    batch_size: int = 8
    """Images per domain and step."""
    generator_updates: int = 5
    """Steps of encoders and generators after each step of the discriminators."""
    autoencoder_steps: int = 60_000
    """Iterations of stage 1: officially one per training image; this is MNIST's number."""
    crop_probability: float = 0.5
    """Share of the images that are cropped at random and resized; 0 for digits."""
    flip: bool = True
    """Mirror images left to right with probability 1/2 (not for digits, other than officially)."""

    def __post_init__(self) -> None:
        at_least_1 = (
            *("width", "stages", "discriminator_width", "discriminator_layers"),
            *("batch_size", "generator_updates", "autoencoder_steps"),
        )
        at_least_0 = (
            *("lambda_adv", "lambda_rec", "lambda_cyc", "lambda_latent", "lambda_style", "lambda_content"),
            "learning_rate",
        )
        rules = {"init_std > 0": self.init_std > 0}
        rules |= {f"{name} >= 1": getattr(self, name) >= 1 for name in at_least_1}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        rules[f"statistics one of {', '.join(STATISTICS)}"] = self.statistics in STATISTICS
        rules[f"perceptual one of {', '.join(PERCEPTUAL)}"] = self.perceptual in PERCEPTUAL
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        rules["crop_probability in [0, 1]"] = 0 <= self.crop_probability <= 1
        require("EGSC-IT", rules)

    @property
    def of_autoencoders(self) -> AutoencoderConfig:
        """The settings that stage 1 depends on."""
        return AutoencoderConfig(**{field.name: getattr(self, field.name) for field in fields(AutoencoderConfig)})


# ---------------------------------------------------------------------------------------- mask and exemplar


def egsc_soft_mask(source: Tensor) -> Tensor:
    """Features (B, C, h, w) of the source -> weights of the latent, the same shape, in (0.5, 1)."""
    return 0.5 + 0.5 * wide(source).sigmoid()


def egsc_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance over space: (B, C, h, w) -> (B, C, 1, 1) each."""
    mean = wide(x).mean(dim=(2, 3), keepdim=True)
    return mean, (wide(x) - mean).square().mean(dim=(2, 3), keepdim=True)  # torch.var_mean is slower on the CPU


def egsc_published(x: Tensor, exemplar: Tensor) -> Tensor:
    """The official code's form: the exemplar's mean as gain, its variance as shift, `x` divided by its own variance."""
    mean, variance = egsc_moments(x)
    gain, shift = egsc_moments(exemplar)
    return gain * (wide(x) - mean) / variance + shift


def egsc_adain(x: Tensor, exemplar: Tensor) -> Tensor:
    """Huang and Belongie 2017, eq. 8: the exemplar's mean and standard deviation in place of those of `x`."""
    mean, variance = egsc_moments(x)
    wanted_mean, wanted_variance = egsc_moments(exemplar)
    return ((wanted_variance + 1e-5) / (variance + 1e-5)).sqrt() * (wide(x) - mean) + wanted_mean


STATISTICS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"published": egsc_published, "adain": egsc_adain}


# ----------------------------------------------------------------------------------------- perceptual terms


class Perceptual:
    """Frozen features of a classifier. No module: it is given anew for each training and not stored with a method."""

    def __init__(self, network: VGGFeatures) -> None:
        self.network = network.requires_grad_(False).eval()

    def __call__(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> relu1_1 ... relu5_1, maps of length 1: (B, C_i, H / 2^i, W / 2^i)."""
        return [egsc_unit_maps(features) for features in self.network.taps((x + 1) / 2)]


def egsc_unit_maps(features: Tensor) -> Tensor:
    """(B, C, h, w) -> the same, each map divided by its length over space (at least 1e-6)."""
    features = wide(features)
    return features * features.square().sum(dim=(2, 3), keepdim=True).clamp_min(1e-12).rsqrt()


def egsc_gram(features: Tensor) -> Tensor:
    """F F^T / (H W): (B, C, h, w) -> (B, C, C)."""
    rows = features.flatten(2)
    with torch.autocast(features.device.type, enabled=False):  # its entries are small and many
        return rows @ rows.transpose(1, 2) / rows.shape[2]


def egsc_content_distance(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """sum over stages of i / 5 * L1, of features of translations and of their sources; 0-d, a mean over the batch."""
    stages = enumerate(zip(fake, real, strict=True), start=1)
    return torch.stack([i / len(fake) * l1_loss(f, r) for i, (f, r) in stages]).sum()


def egsc_style_distance(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """sum over stages of L1 of Gram matrices, of translations and of their exemplars; 0-d, a mean over the batch."""
    return torch.stack([l1_loss(egsc_gram(f), egsc_gram(r)) for f, r in zip(fake, real, strict=True)]).sum()


# ------------------------------------------------------------------------------------------------ the method


@dataclass(frozen=True)
class Batch:
    """Every input of one iteration: M = 1 + `generator_updates` minibatches of B = `batch_size` images per domain."""

    a: Tensor
    """(M B, 3, H, W) in [-1, 1], domain 0; the first B are the discriminators' minibatch."""
    b: Tensor
    """(M B, 3, H, W) in [-1, 1], domain 1: also the exemplars of the rows of `a`, and these of its rows."""
    noise: Tensor
    """(M, 2B, C h w): standard normal, for the latents of a and of b in each minibatch."""
    noise_back: Tensor
    """(M - 1, 2B, C h w): for the latents of the translations of b and of a, on the way back of the cycle."""


NETWORKS = ("encoder_a", "encoder_b", "share_encoder", "share_generator", "generator_a", "generator_b")
"""Networks that the generators' phases step."""
DISCRIMINATORS = ("discriminator_a", "discriminator_b")
SCOPES = {
    **{f"UNIT/{kind}_{letter}": f"{kind}_{letter.lower()}" for kind in ("encoder", "generator") for letter in "AB"},
    **{f"UNIT/{name}": name for name in ("share_encoder", "share_generator")},
    **{f"UNIT/discriminator_{letter}": f"discriminator_{letter.lower()}" for letter in "AB"},
    **{f"VAEGAN_recon_{letter}/part1": f"features_{letter.lower()}" for letter in "AB"},
}
"""Scope of the original's variables -> our network."""


class EGSCIT(Translator):
    """Style of an exemplar. Domain A is 0, domain B is 1."""

    Config = EGSCITConfig
    indivisible = "a step consumes several minibatches, stacked in one tensor, and is published for a batch of one"
    supervision = "weak"
    style_sources = ("exemplar",)
    noise: Tensor

    def __init__(self, config: EGSCITConfig, image_size: int) -> None:
        """Raises ValueError if the networks cannot take `image_size`."""
        super().__init__()
        multiple, smallest = 2 ** (config.stages - 1), 2**config.discriminator_layers + 1
        require(
            f"EGSC-IT at {image_size} px",
            {
                f"an image size that is a multiple of {multiple}": image_size % multiple == 0,
                f"an image size of at least {max(4, 2 * multiple)}": image_size >= max(4, 2 * multiple),
                f"an image size of at least {smallest} for discriminator_layers={config.discriminator_layers} "
                "(or fewer layers)": image_size >= smallest,
            },
        )
        self.config = config
        self.latent = autoencoder_latent_shape(config.width, config.stages, image_size)
        self._match_statistics = STATISTICS[config.statistics]
        self.encoder_a, self.encoder_b = (encoder_of_autoencoder(config.width, config.stages) for _ in "ab")
        self.share_encoder, self.share_generator = (
            autoencoder_blocks(self.latent[0]),
            autoencoder_blocks(self.latent[0]),
        )
        self.generator_a, self.generator_b = (generator_of_autoencoder(config.width, config.stages) for _ in "ab")
        self.discriminator_a, self.discriminator_b = (
            Discriminator(config.discriminator_width, config.discriminator_layers) for _ in "ab"
        )
        self.features_a, self.features_b = (
            encoder_of_autoencoder(config.width, config.stages) for _ in "ab"
        )  # from stage 1
        initialise_autoencoder(self, config.init_std)
        self.features_a.requires_grad_(False)
        self.features_b.requires_grad_(False)
        for name in (*NETWORKS, *DISCRIMINATORS):
            parameters = getattr(self, name).parameters()
            self.optimizers[name] = Adam(parameters, lr=config.learning_rate, betas=config.betas, fused=True)
        fixed = torch.randn(self.latent, generator=torch.Generator().manual_seed(0), device="cpu")
        self.register_buffer("noise", fixed)
        """(C, h, w): the latent noise of every translated image."""
        self.perceptual: Perceptual | None = None

    @property
    def images_per_step(self) -> int:
        """One minibatch per domain for each phase."""
        return self.config.batch_size * (1 + self.config.generator_updates)

    # ------------------------------------------------------------------------------------------------ training

    def prepare(self, domains: Domains, context: Context) -> None:
        """Stage 1, of which the encoders are kept; and the classifier, which training alone needs."""
        network = build_backbone(self.config.perceptual)
        load_backbone(self.config.perceptual, network, context.weights)
        assert isinstance(network, VGGFeatures)
        self.perceptual = Perceptual(network.to(domains.device))
        stage = context.run_stage(lambda: Autoencoders(self.config.of_autoencoders, domains))
        self.features_a.load_state_dict(stage.autoencoder_a.encoder.state_dict())
        self.features_b.load_state_dict(stage.autoencoder_b.encoder.state_dict())

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """All minibatches; images of the two domains are paired at random."""
        c, updates = self.config, self.config.generator_updates
        rows, size = 2 * c.batch_size, self.noise.numel()
        a, b = (autoencoder_images(domains, d, self.images_per_step, rng, c.crop_probability, c.flip) for d in (0, 1))
        return Batch(
            a=a,
            b=b,
            noise=torch.randn(1 + updates, rows, size, generator=rng).to(domains.device),
            noise_back=torch.randn(updates, rows, size, generator=rng).to(domains.device),
        )

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """The discriminators, then encoders and generators `generator_updates` times; each on a new minibatch."""
        minibatches = list(
            zip(batch.a.split(self.config.batch_size), batch.b.split(self.config.batch_size), strict=True)
        )
        noise = batch.noise.unflatten(2, self.latent)  # (M, 2B, C, h, w)
        noise_back = batch.noise_back.unflatten(2, self.latent)
        a, b = minibatches[0]
        yield Phase(trains=DISCRIMINATORS, losses=self._discriminator_losses(a, b, noise[0]))
        for (a, b), forth, back in zip(minibatches[1:], noise[1:], noise_back, strict=True):
            yield Phase(trains=NETWORKS, losses=self._generator_losses(a, b, forth, back))

    def _discriminator_losses(self, a: Tensor, b: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """LSGAN on real images and translations, which are made without a graph."""
        with torch.no_grad():
            f_a, f_b = self.features_a(a), self.features_b(b)
            s_a, s_b = self.share_generator(self._latents(a, b, noise)).chunk(2)
            fake_a = self._render(self.generator_a, s_b, f_b, f_a)
            fake_b = self._render(self.generator_b, s_a, f_a, f_b)
        return {
            **autoencoder_discriminator_losses(self.discriminator_a, a, fake_a, self.config.lambda_adv, "a"),
            **autoencoder_discriminator_losses(self.discriminator_b, b, fake_b, self.config.lambda_adv, "b"),
        }

    def _generator_losses(self, a: Tensor, b: Tensor, noise: Tensor, noise_back: Tensor) -> dict[str, Tensor]:
        """All terms of encoders and generators; x_ab is a, translated with the exemplar b."""
        c = self.config
        with torch.no_grad():
            f_a, f_b = self.features_a(a), self.features_b(b)
        h = self._latents(a, b, noise)  # (2B, C, h, w), of a and of b
        s, masks = self.share_generator(h), torch.cat([f_a, f_b])
        x_aa, x_ba = self._render(self.generator_a, s, masks, torch.cat([f_a, f_a])).chunk(2)  # (B, 3, H, W) each
        x_ab, x_bb = self._render(self.generator_b, s, masks, torch.cat([f_b, f_b])).chunk(2)
        h_back = self._latents(x_ba, x_ab, noise_back)
        s_bab, s_aba = self.share_generator(h_back).chunk(2)
        x_aba = self._render(self.generator_a, s_aba, f_a, f_a)
        x_bab = self._render(self.generator_b, s_bab, f_b, f_b)
        return {
            "adv_a": c.lambda_adv * least_squares_loss(self.discriminator_a(x_ba), 1.0),
            "adv_b": c.lambda_adv * least_squares_loss(self.discriminator_b(x_ab), 1.0),
            "rec_a": c.lambda_rec * l1_loss(x_aa, a),
            "rec_b": c.lambda_rec * l1_loss(x_bb, b),
            "cyc_a": c.lambda_cyc * l1_loss(x_aba, a),
            "cyc_b": c.lambda_cyc * l1_loss(x_bab, b),
            "latent": 2 * c.lambda_latent * wide(h).square().mean(),  # each domain's term holds both latents
            "latent_back": 2 * c.lambda_latent * wide(h_back).square().mean(),  # a sum of two means of equal size
            **self._perceptual_losses(a, b, x_ab, x_ba),
        }

    def _latents(self, as_a: Tensor, as_b: Tensor, noise: Tensor) -> Tensor:
        """Images (B, 3, H, W) of either domain and noise (2B, C, h, w) -> noisy latents (2B, C, h, w)."""
        return self.share_encoder(torch.cat([self.encoder_a(as_a), self.encoder_b(as_b)])) + noise

    def _render(self, network: nn.Module, s: Tensor, source: Tensor, exemplar: Tensor) -> Tensor:
        """Decoded latent `s` (B, C, h, w), features of source and exemplar (the same shape) -> (B, 3, H, W)."""
        return network(self._match_statistics(s * egsc_soft_mask(source), exemplar))

    def _perceptual_losses(self, a: Tensor, b: Tensor, x_ab: Tensor, x_ba: Tensor) -> dict[str, Tensor]:
        """Content as the source's, style as the exemplar's. Doubled: sums over domains, of means over both."""
        if self.perceptual is None:
            raise RuntimeError("EGSC-IT compares features of a classifier: call prepare first")
        with torch.no_grad():
            real = self.perceptual(torch.cat([a, b]))
        fake = self.perceptual(torch.cat([x_ab, x_ba]))
        exemplars = [torch.cat(list(reversed(features.chunk(2)))) for features in real]
        return {
            "style": self.config.lambda_style * 2 * egsc_style_distance(fake, exemplars),
            "content": self.config.lambda_content * 2 * egsc_content_distance(fake, real),
        }

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """Falls to 0 as (1 - t)^0.9."""
        return dict.fromkeys(self.optimizers, decayed_autoencoder_rate(self.config.learning_rate, progress.fraction))

    # ----------------------------------------------------------------------------------------------- inference

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """Translate with the fixed noise, within a domain, too. The exemplar is one of domain `target`."""
        self.check_style(style)
        if not isinstance(style, Exemplar):
            raise TypeError(f"EGSC-IT has no style code, got {style!r:.60}")
        encoders, generators = (self.encoder_a, self.encoder_b), (self.generator_a, self.generator_b)
        features = self.features_a, self.features_b
        h = self.share_encoder(encoders[source](x)) + self.noise
        s = self.share_generator(h)
        y = self._render(generators[target], s, features[source](x), features[target](style.image))
        return y.clamp(-1.0, 1.0)

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """`model`: the variables of a stage-2 checkpoint, by TensorFlow's names and in its layout; all networks.

        The original's domain A is 0. Optimiser slots and counters are ignored. Raises ValueError, see `load_checked`.
        """
        others = {name: state for name, state in state_dicts.items() if name != "model"}
        targets: dict[str, list[nn.Module]] = {scope: [getattr(self, name)] for scope, name in SCOPES.items()}
        if others or not state_dicts:
            load_checked({"model": []}, others)
        load_checked(targets, autoencoder_from_tensorflow(state_dicts["model"], SCOPES))
