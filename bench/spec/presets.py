"""The presets, whole and in one place: image budgets, judges, evaluation sizes, and each method's settings.

`quick` is for two CPU cores and minutes: small networks, few images. `small` is for an afternoon on two cores: about a
quarter of the published widths, larger images, more steps. `paper` is each method's published setting.
Any method value can be overridden: `--set method.key=value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.core.errors import BenchError, error_remedy
from bench.spec.data_kinds import is_real_data_kind


@dataclass(frozen=True)
class JudgeSettings:
    """Training of an evaluation classifier (a pre-activation Wide ResNet)."""

    depth: int
    """Convolution layers, 6 n + 4."""
    widen: int
    """Width factor over 16, 32, 64 channels."""
    dropout: float
    """Dropout inside the blocks."""
    steps: int
    """SGD steps."""
    batch_size: int
    """Images per step."""
    learning_rate: float
    """Peak learning rate; cosine to 0."""
    augment: bool
    """Random flips and shifted crops (pictures only: a flipped digit is another digit)."""
    tolerance: float
    """Range in which black level, white level and noise of the training images vary; 0: not at all, as published."""


AS_CLASSES = 5
"""Data without classes is scored on as many images as data with five."""


@dataclass(frozen=True)
class EvaluationSize:
    """Number of images that are scored. Not part of a run's identity; n stands beside every value."""

    sources_per_class: int | None
    """Test images per class that are translated (the first in order of content hash); None: all."""
    reference_per_class: int | None
    """Real images per class that FID compares with (train + test, first in order of content hash); None: all."""
    protocols: tuple[str, ...] = ()
    """Protocols to measure beside those that always are."""

    def for_classes(self, classes: int) -> EvaluationSize:
        """The size for data with so many classes: without any (one is as none), of all images together."""
        if classes > 1:
            return self
        limits = (self.sources_per_class, self.reference_per_class)
        sources, reference = (None if limit is None else AS_CLASSES * limit for limit in limits)
        return replace(self, sources_per_class=sources, reference_per_class=reference)


@dataclass(frozen=True)
class KindPreset:
    """A preset for one kind of task (`digits` or `pictures`)."""

    images: int
    """Budget: source images per domain that every method sees, repetitions counted."""
    judge: JudgeSettings
    """The evaluation classifiers."""
    evaluation: EvaluationSize
    """Numbers of scored images, and further protocols."""
    methods: Mapping[str, Mapping[str, Any]]
    """Method -> settings that differ from its published defaults; `name:variant` -> those that differ from the
    variant's."""
    real: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Method -> settings over `methods` where the data is real."""

    def settings(self, method: str, data_kind: str) -> Mapping[str, Any]:
        """Settings of `method` on data of the kind `data_kind` (bench/spec/data_kinds.py)."""
        return {**self.methods.get(method, {}), **(self.real.get(method, {}) if is_real_data_kind(data_kind) else {})}


@dataclass(frozen=True)
class StandInSettings:
    """Training of the network that takes VGG-19's place (bench/training/stand_in.py)."""

    train_per_class: int = 150
    """Drawings of each class that it learns from."""
    test_per_class: int = 40
    """Held-out drawings of each class."""
    steps: int = 1_000
    """Adam steps."""
    batch_size: int = 64
    """Images per step."""
    learning_rate: float = 4e-3
    """Initial learning rate; cosine to 0."""
    shift: int = 2
    """Largest shift of the images in pixels. They are never flipped: a flipped letter may be none."""


STAND_IN = "stand_in"
"""Name of the weights, and of the encoder, that take VGG-19's place where nothing may be downloaded."""
STAND_IN_SETTINGS = StandInSettings()

PUBLISHED_JUDGE = JudgeSettings(
    16, 8, 0.4, steps=50_001, batch_size=128, learning_rate=0.01, augment=False, tolerance=0.0
)

# Few steps on few clean images leave a judge that misreads a digit on a ground of 3 % grey, which nobody else would:
# hence the tolerance.
QUICK_JUDGE = JudgeSettings(10, 2, 0.0, steps=400, batch_size=64, learning_rate=0.1, augment=True, tolerance=0.4)

# Small networks that learn something in 875 steps: hence larger learning rates and a faster average, too. DRIT's
# smaller one and its single pairs are for its transposed convolutions, which else draw a checkerboard.
QUICK_CYCLEGAN = {
    "width": 16, "blocks": 3, "discriminator_width": 16, "discriminator_layers": 2,
    "batch_size": 4, "learning_rate": 1e-3,
}  # fmt: skip
QUICK_STARGAN_V2 = {
    "base_width": 8, "max_width": 64, "content_size": 8, "bottleneck_blocks": 1, "style_dim": 16, "mapping_width": 64,
    "learning_rate": 1e-3, "mapping_learning_rate": 1e-4, "ema_decay": 0.99,
}  # fmt: skip
QUICK_MUNIT = {
    "width": 12, "blocks": 2, "mlp_width": 64, "discriminator_width": 16, "discriminator_layers": 3,
    "discriminator_scales": 2, "batch_size": 4, "learning_rate": 1e-3, "halve_every": 0.25,
}  # fmt: skip
QUICK_DRIT = {
    "width": 16, "discriminator_scales": 2, "discriminator_layers": 3, "content_discriminator": "small",
    "learning_rate": 5e-4, "content_learning_rate": 2e-4,
}  # fmt: skip

# The paper's pairing; with the code's, half of the few steps stay within a domain.
QUICK_CATS_UDT = {**QUICK_STARGAN_V2, "pairing": "opposite"}

# Colours are jittered less than for photographs: in pictures of 32 px they carry much of the class.
QUICK_MOCO = {
    "semantics.moco.encoder": "small", "semantics.moco.width": 16, "semantics.moco.queue": 512,
    "semantics.moco.batch_size": 64, "semantics.moco.key_splits": 2, "semantics.moco.momentum": 0.99,
    "semantics.moco.learning_rate": 0.06, "semantics.moco.steps": 800, "semantics.moco.hue": 0.15,
    "semantics.moco.grey_probability": 0.1, "semantics.moco.crop_area": [0.35, 1.0],
}  # fmt: skip
QUICK_SEMANTICS_PICTURES = {
    **QUICK_MOCO,
    "semantics.spectral.affinity": "cosine", "semantics.spectral.normalise": "centred",
    "semantics.transfer_encoder": "gradients", "semantics.adaptation.width": 128, "semantics.adaptation.steps": 1_000,
    # At the published weight 1 of the entropy, whole clusters of the few sketches die out.
    "semantics.adaptation.lambda_entropy": 0.3,
}  # fmt: skip

# Neither a MoCo trained for minutes on hundreds of small photographs nor gradients tell what a photograph shows: the
# clusters are at chance, and adapted into one. So an encoder that has seen ImageNet, for both. Its labels: an asterisk.
QUICK_SEMANTICS_PHOTOGRAPHS = {"semantics.encoder": "efficientnet", "semantics.transfer_encoder": ""}

# Chosen on real MNIST and SVHN (seeds 10 and 11): minutes of IMSAT on 16 px reach 84 to 89 % of MNIST, and features
# adapted from it 47 % of SVHN; spectral clusters of gradients without slant, and self-training on altered images, reach
# 97 to 98 % and 77 to 79 % in less time. 10 neighbours: 5 leave the drawn digits' graph in parts.
QUICK_SEMANTICS_DIGITS = {
    **QUICK_MOCO,  # for the variant whose categories are MoCo's features
    "semantics.space": "self_training", "semantics.encoder": "gradients_upright",
    "semantics.spectral.affinity": "nearest_neighbors", "semantics.spectral.neighbors": 10,
    "semantics.spectral.sample": 10_000,
}  # fmt: skip

# Few steps of narrow networks: one resolution and not three (outlines come sooner, and 40 px around a pixel are seen at
# one, too), and first weights that keep the signal above the latent noise. The harness trains the stand-in for VGG-19.
QUICK_EGSC_IT = {
    "width": 16, "stages": 1, "discriminator_width": 16, "discriminator_layers": 3, "perceptual": "stand_in",
    "init_std": 0.06, "learning_rate": 5e-4, "batch_size": 2, "autoencoder_steps": 500,
}  # fmt: skip

# A flipped or cropped digit may be another digit.
CYCLEGAN_DIGITS = {"flip": False, "enlarge": 1.0}
STARGAN_V2_DIGITS = {"flip": False, "crop_probability": 0.0}
CATS_UDT_DIGITS = STARGAN_V2_DIGITS
# In trainings of thousands of steps on real digits; the paper's form of the style's losses, StarGAN-v2's weight.
CATS_UDT_SHORT_DIGITS = {"style_heads": "disjoint", "style_rec_domain": "target", "lambda_ds": 1.0}
MUNIT_DIGITS = {"flip": False}
DRIT_DIGITS = {"flip": False, "enlarge": 1.0}
# The authors' weight and number of resolutions for MNIST; they mirror and crop digits, too.
EGSC_IT_DIGITS = {**STARGAN_V2_DIGITS, "stages": 1, "lambda_style": 1e3}

# A quarter of the published widths. Learning rates between quick's and the published ones: four to twenty times quick's
# steps, and a twentieth of the published.
SMALL_CYCLEGAN = {
    "width": 16, "blocks": 6, "discriminator_width": 16, "discriminator_layers": 2,
    "batch_size": 4, "learning_rate": 5e-4,
}  # fmt: skip
SMALL_STARGAN_V2 = {
    "base_width": 16, "max_width": 128, "content_size": 8, "style_dim": 32, "mapping_width": 128,
    "learning_rate": 5e-4, "mapping_learning_rate": 5e-5,
}  # fmt: skip
SMALL_MUNIT = {
    "width": 16, "mlp_width": 64, "discriminator_width": 16, "discriminator_layers": 3,
    "discriminator_scales": 2, "batch_size": 4, "learning_rate": 5e-4, "halve_every": 0.2,
}  # fmt: skip
SMALL_DRIT = {
    "width": 16, "discriminator_scales": 2, "discriminator_layers": 3, "content_discriminator": "small",
    "batch_size": 4, "learning_rate": 5e-4, "content_learning_rate": 2e-4,
}  # fmt: skip
SMALL_EGSC_IT = {
    "width": 16, "stages": 2, "discriminator_width": 16, "discriminator_layers": 3, "perceptual": STAND_IN,
    "init_std": 0.06, "learning_rate": 5e-4, "batch_size": 4, "autoencoder_steps": 1_500,
}  # fmt: skip
SMALL_CATS_UDT = {**SMALL_STARGAN_V2, "pairing": "opposite", "bottleneck_blocks": 2}
SMALL_JUDGE = replace(QUICK_JUDGE, steps=800)

# The published semantics of sketches and reals: reals are clustered, by their features, and features are adapted.
CATS_UDT_PICTURES = {
    "semantics.space": "features", "semantics.clustered_domain": 1,
    "semantics.adaptation.lambda_entropy": 1.0, "semantics.adaptation.lambda_confusion": 1.0,
    "semantics.adaptation.lambda_vat_source": 0.0, "semantics.adaptation.lambda_vat_target": 0.0,
    "semantics.adaptation.lambda_mixup_target": 1.0,
}  # fmt: skip

# What CatS-UDT's authors evaluated has twice the blocks.
PAPER_STARGAN_V2_CATS = {"stargan_v2:cats": {"bottleneck_blocks": 4}}

# VGG-19 is not small, and may not be at hand.
QUICK_VGG = {name: {"semantics.encoder": STAND_IN} for name in ("cats_udt:vgg", "cats_udt:content_vgg")}

PRESETS: dict[str, dict[str, KindPreset]] = {
    "quick": {
        "pictures": KindPreset(
            images=3_500,
            judge=QUICK_JUDGE,
            evaluation=EvaluationSize(sources_per_class=100, reference_per_class=100),
            methods={
                "cyclegan": QUICK_CYCLEGAN,
                "munit": QUICK_MUNIT,
                "drit": QUICK_DRIT,
                "stargan_v2": QUICK_STARGAN_V2,
                "egsc_it": QUICK_EGSC_IT,
                "cats_udt": {**QUICK_CATS_UDT, **CATS_UDT_PICTURES, **QUICK_SEMANTICS_PICTURES},
                **QUICK_VGG,
            },
            real={"cats_udt": QUICK_SEMANTICS_PHOTOGRAPHS},
        ),
        "digits": KindPreset(
            images=9_600,
            judge=replace(QUICK_JUDGE, augment=False),
            evaluation=EvaluationSize(sources_per_class=50, reference_per_class=100),
            # Batches, rates and averages: the best of two or three for each method but DRIT on real MNIST and SVHN, at
            # half of these images and a seed of its own (docs/results.md has what was tried).
            methods={
                "cyclegan": {
                    **QUICK_CYCLEGAN,
                    **CYCLEGAN_DIGITS,
                    "downsamplings": 1,
                    "discriminator_layers": 1,
                    "batch_size": 2,
                    "learning_rate": 5e-4,
                },
                "munit": {
                    **QUICK_MUNIT,
                    **MUNIT_DIGITS,
                    "width": 16,
                    "downsamplings": 1,
                    "discriminator_layers": 2,
                },
                "drit": {**QUICK_DRIT, **DRIT_DIGITS, "batch_size": 2},
                "stargan_v2": {
                    **QUICK_STARGAN_V2,
                    **STARGAN_V2_DIGITS,
                    "base_width": 16,
                    "ema_decay": 0.995,
                    "lambda_ds": 1.0,
                },
                "egsc_it": {**QUICK_EGSC_IT, **EGSC_IT_DIGITS, "batch_size": 8},
                "cats_udt": {
                    **QUICK_CATS_UDT,
                    **CATS_UDT_DIGITS,
                    **QUICK_SEMANTICS_DIGITS,
                    **CATS_UDT_SHORT_DIGITS,
                    "base_width": 16,
                    "ema_decay": 0.995,
                },
                **QUICK_VGG,
            },
        ),
    },
    "small": {
        "pictures": KindPreset(
            images=16_000,
            judge=SMALL_JUDGE,
            evaluation=EvaluationSize(sources_per_class=100, reference_per_class=200),
            methods={
                "cyclegan": SMALL_CYCLEGAN,
                "munit": SMALL_MUNIT,
                "drit": SMALL_DRIT,
                "stargan_v2": SMALL_STARGAN_V2,
                "egsc_it": SMALL_EGSC_IT,
                "cats_udt": {**SMALL_CATS_UDT, **CATS_UDT_PICTURES, **QUICK_SEMANTICS_PICTURES},
                **QUICK_VGG,
            },
            real={"cats_udt": QUICK_SEMANTICS_PHOTOGRAPHS},
        ),
        "digits": KindPreset(
            images=24_000,
            judge=replace(SMALL_JUDGE, augment=False),
            evaluation=EvaluationSize(sources_per_class=50, reference_per_class=200),
            methods={
                "cyclegan": {**SMALL_CYCLEGAN, **CYCLEGAN_DIGITS},
                "munit": {**SMALL_MUNIT, **MUNIT_DIGITS, "batch_size": 8},
                "drit": {**SMALL_DRIT, **DRIT_DIGITS},
                "stargan_v2": {**SMALL_STARGAN_V2, **STARGAN_V2_DIGITS},
                "egsc_it": {**SMALL_EGSC_IT, **EGSC_IT_DIGITS},
                "cats_udt": {
                    **SMALL_CATS_UDT,
                    **CATS_UDT_DIGITS,
                    **QUICK_SEMANTICS_DIGITS,
                    **CATS_UDT_SHORT_DIGITS,
                },
                **QUICK_VGG,
            },
        ),
    },
    "paper": {
        "pictures": KindPreset(
            images=400_000,  # 100,000 iterations of batch 8 over two domains, CatS-UDT's and StarGAN-v2's length
            judge=PUBLISHED_JUDGE,
            evaluation=EvaluationSize(None, None, ("fid-pytorch-v1", "fid-pytorch-paper-v1")),
            # lambda_sty is 1 as in the paper's objective; the code's own command sets 0: cats_udt:no_sty.
            methods={
                # The authors' CelebA setting; stage 1 as many iterations as stage 2, officially the same number.
                "egsc_it": {"autoencoder_steps": 8_334},
                "cats_udt": {**CATS_UDT_PICTURES, "semantics.encoder": "moco_v2"},
                **PAPER_STARGAN_V2_CATS,
            },
        ),
        "digits": KindPreset(
            images=400_000,
            judge=PUBLISHED_JUDGE,
            evaluation=EvaluationSize(None, None, ("fid-pytorch-test-v1", "fid-pytorch-paper-test-v1")),
            methods={
                # No official setting for 32 px: the smaller networks that its maintainers advise.
                "cyclegan": {**CYCLEGAN_DIGITS, "blocks": 6, "discriminator_layers": 2},
                # Nor one for MUNIT, whose discriminator cannot take 32 px: fewer scales and layers.
                "munit": {**MUNIT_DIGITS, "discriminator_scales": 2, "discriminator_layers": 3, "batch_size": 16},
                # Nor one for DRIT: as many scales as fit, and a content discriminator that fits.
                "drit": {**DRIT_DIGITS, "discriminator_scales": 2, "content_discriminator": "small", "batch_size": 8},
                "stargan_v2": STARGAN_V2_DIGITS,
                # The authors' MNIST setting.
                "egsc_it": {**EGSC_IT_DIGITS, "learning_rate": 1e-5, "autoencoder_steps": 8_334},
                "cats_udt": CATS_UDT_DIGITS,
                **PAPER_STARGAN_V2_CATS,
            },
        ),
    },
}

SUMMARIES = {
    "quick": "small networks and few images: minutes for all methods on two CPU cores; not comparable with the paper",
    "small": "a quarter of the published widths: an afternoon on two CPU cores; not comparable with the paper",
    "paper": "the published settings at the published size; one GPU",
}


def get_preset(name: str, kind: str) -> KindPreset:
    """The preset `name` for tasks of `kind`; raises BenchError with the nearest valid name."""
    if name not in PRESETS:
        raise BenchError(f"unknown preset '{name}'", error_remedy(name, list(PRESETS)))
    return PRESETS[name][kind]
