"""The training step of StarGAN v2 and CatS-UDT as such code is usually written: the yardstick of our step's speed.

Eager, float32, NCHW; a forward pass for each use of a network; graphs for everything outside the discriminator's fakes;
gradients of every network in every phase; `.item()` after each loss; Adam in its default loop; blocks as the paper
draws them (convolve then pool, upsample then convolve); style heads one after the other. **The mathematics is that of
methods/stargan_v2.py and methods/cats_udt.py**: test_plain_reference.py compares losses and updated weights. Written
from the papers' equations and ours, for reading beside them; no code of the authors.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.cats_udt import Batch as CatsBatch
from methods.cats_udt import CatsUDT
from methods.cats_udt_variants import AuxiliaryClassifier, ClusterStyleEncoder
from methods.parts.kernels import InstanceNorm, WholeMapConv
from methods.parts.layers import SLOPE, AdaIN, DownBlock, UpBlock, pick_layer
from methods.stargan_v2 import Batch as StarBatch
from methods.stargan_v2 import StarGANv2

NETWORKS = ("generator", "mapping_network", "style_encoder", "discriminator")
AVERAGED = NETWORKS[:3]


class PlainDownBlock(nn.Module):
    """`DownBlock` in the order of the paper's figure; takes the layers of one, under the same names."""

    def __init__(self, block: DownBlock) -> None:
        super().__init__()
        self.down = block.down
        for name, layer in block.named_children():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H/2, W/2), or H, W without `down`."""
        shortcut = self.conv1x1(x)
        residual = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        if self.down:
            shortcut, residual = F.avg_pool2d(shortcut, 2), F.avg_pool2d(residual, 2)
        residual = self.conv2(F.leaky_relu(self.norm2(residual), SLOPE))
        return (shortcut + residual) / math.sqrt(2)


class PlainUpBlock(nn.Module):
    """`UpBlock` in the order of the paper's figure; takes the layers of one, under the same names."""

    def __init__(self, block: UpBlock) -> None:
        super().__init__()
        self.up = block.up
        for name, layer in block.named_children():
            self.add_module(name, layer)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """(B, c_in, H, W), (B, style_dim) -> (B, c_out, 2H, 2W), or H, W without `up`."""
        shortcut, residual = x, F.leaky_relu(self.norm1(x, s), SLOPE)
        if self.up:
            shortcut, residual = (F.interpolate(each, scale_factor=2, mode="nearest") for each in (shortcut, residual))
        residual = self.conv2(F.leaky_relu(self.norm2(self.conv1(residual), s), SLOPE))
        return (self.conv1x1(shortcut) + residual) / math.sqrt(2)


class PlainAdaIN(nn.Module):
    """`AdaIN` as in its equation."""

    def __init__(self, norm: AdaIN) -> None:
        super().__init__()
        self.fc = norm.fc

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """`x` (B, C, H, W), `s` (B, style_dim) -> (B, C, H, W)."""
        gamma, beta = self.fc(s)[:, :, None, None].chunk(2, dim=1)
        return (1 + gamma) * F.instance_norm(x) + beta


def usual_norm(norm: InstanceNorm) -> nn.Module:
    """`norm` with PyTorch's own forward pass."""
    usual = nn.InstanceNorm2d(norm.num_features, affine=norm.affine)
    usual.weight, usual.bias = norm.weight, norm.bias
    return usual


def usual_convolution(convolution: WholeMapConv) -> nn.Module:
    """`convolution` with PyTorch's own forward pass."""
    usual = nn.Conv2d(convolution.in_channels, convolution.out_channels, convolution.kernel_size)
    usual.weight, usual.bias = convolution.weight, convolution.bias
    return usual


class PlainStyleEncoder(nn.Module):
    """`ClusterStyleEncoder` with its heads one after the other."""

    def __init__(self, encoder: ClusterStyleEncoder) -> None:
        super().__init__()
        self.stride = encoder.stride
        for name, layer in encoder.named_children():
            self.add_module(name, layer)

    def forward(self, x: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], int64 (B,), int64 (B,) -> (B, style_dim)."""
        h = self.shared(x).flatten(1)
        return pick_layer(torch.stack([head(h) for head in self.unshared], dim=1), self.stride * d + c)


PLAIN: dict[type[nn.Module], Any] = {
    DownBlock: PlainDownBlock, UpBlock: PlainUpBlock, ClusterStyleEncoder: PlainStyleEncoder,
    AdaIN: PlainAdaIN, InstanceNorm: usual_norm, WholeMapConv: usual_convolution,
}  # fmt: skip


def plain(network: nn.Module) -> nn.Module:
    """A copy of `network` with its weights, its blocks replaced by plain ones; keys of the state stay."""
    return _replaced(copy.deepcopy(network))


def _replaced(module: nn.Module) -> nn.Module:
    for name, child in list(module.named_children()):
        setattr(module, name, _replaced(child))
    return PLAIN[type(module)](module) if type(module) in PLAIN else module


class PlainTrainer:
    """Trains plain copies of a method's networks, from the weights that the method has now, with new optimisers."""

    def __init__(self, method: StarGANv2 | CatsUDT, *, own_blocks: bool = False) -> None:
        """`own_blocks`: with our networks as they are, to tell the step's share of a difference from the blocks'.

        Raises ValueError for settings whose mathematics this step does not have.
        """
        self.config = c = method.config
        if getattr(c, "r1_share", 1.0) != 1 or min(c.lambda_sty, c.lambda_cyc, c.lambda_ds) <= 0:
            raise ValueError("the plain step computes R1 on the whole batch, and every loss")
        make = copy.deepcopy if own_blocks else plain
        self.nets = {name: make(getattr(method, name)) for name in NETWORKS}
        self.averages = {name: make(network) for name, network in method.ema.items()}
        rates = dict.fromkeys(NETWORKS, c.learning_rate) | {"mapping_network": c.mapping_learning_rate}
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=rates[name], betas=c.betas, weight_decay=c.weight_decay)
            for name, net in self.nets.items()
        }

    def step(self, batch: Any) -> dict[str, float]:
        """One iteration; the losses under the names that `methods.base.run_step` gives them."""
        logged = {}
        for index, from_noise in enumerate((True, False)):
            losses = self._train(self.discriminator_losses(batch, from_noise), ("discriminator",))
            logged.update({f"{index}:discriminator.{name}": value for name, value in losses.items()})
        for index, from_noise, trained in ((2, True, AVERAGED), (3, False, ("generator",))):
            losses = self._train(self.generator_losses(batch, from_noise), trained)
            logged.update({f"{index}:{'+'.join(trained)}.{name}": value for name, value in losses.items()})
        for name, average in self.averages.items():
            for kept, current in zip(average.parameters(), self.nets[name].parameters(), strict=True):
                kept.data = torch.lerp(current.data, kept.data, self.config.ema_decay)
        return logged

    def _train(self, losses: dict[str, Tensor], trained: tuple[str, ...]) -> dict[str, float]:
        values = {name: loss.item() for name, loss in losses.items()}
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        sum(losses.values(), torch.zeros(())).backward()
        for name in trained:
            self.optimizers[name].step()
        return values

    def discriminator_losses(self, batch: Any, from_noise: bool) -> dict[str, Tensor]:
        """Real, fake and R1 (and the class term), already weighted. `from_noise`: the style's source, else x_ref."""
        raise NotImplementedError

    def generator_losses(self, batch: Any, from_noise: bool) -> dict[str, Tensor]:
        """Adversarial, (semantic,) style, cycle and diversity terms, already weighted."""
        raise NotImplementedError


class PlainStarGANv2(PlainTrainer):
    """StarGAN v2, equations 1 to 4."""

    def discriminator_losses(self, batch: StarBatch, from_noise: bool) -> dict[str, Tensor]:
        """Equation 1 for D, with R1."""
        nets, x = self.nets, batch.x_source.detach().clone().requires_grad_()
        on_real = nets["discriminator"](x, batch.y_source)
        with torch.no_grad():
            fake = nets["generator"](x, self._style(batch, batch.z, batch.x_ref, from_noise))
        on_fake = nets["discriminator"](fake, batch.y_target)
        r1 = self.config.lambda_reg * gradient_penalty(on_real, x)
        return {"real": against(on_real, 1), "fake": against(on_fake, 0), "r1": r1}

    def generator_losses(self, batch: StarBatch, from_noise: bool) -> dict[str, Tensor]:
        """Equations 1 to 4 for G."""
        c, nets, x = self.config, self.nets, batch.x_source
        s = self._style(batch, batch.z, batch.x_ref, from_noise)
        fake = nets["generator"](x, s)
        adversarial = against(nets["discriminator"](fake, batch.y_target), 1)
        y_style = batch.y_source if c.style_rec_domain == "source" else batch.y_target
        style = (nets["style_encoder"](fake, y_style) - s).abs().mean()
        other = nets["generator"](x, self._style(batch, batch.z2, batch.x_ref2, from_noise)).detach()
        back = nets["generator"](fake, nets["style_encoder"](x, batch.y_source))
        return {
            "adv": adversarial,
            "sty": c.lambda_sty * style,
            "cyc": c.lambda_cyc * (back - x).abs().mean(),
            "ds": -batch.lambda_ds * (fake - other).abs().mean(),
        }

    def _style(self, batch: StarBatch, z: Tensor, image: Tensor, from_noise: bool) -> Tensor:
        if from_noise:
            return self.nets["mapping_network"](z, batch.y_target)
        return self.nets["style_encoder"](image, batch.y_target)


class PlainCatsUDT(PlainTrainer):
    """CatS-UDT with categories in the style and a classifier inside D, equations 3 to 8."""

    def __init__(self, method: CatsUDT, *, own_blocks: bool = False) -> None:
        """Raises ValueError for settings whose mathematics this step does not have."""
        super().__init__(method, own_blocks=own_blocks)
        c = method.config
        if not isinstance(method.semantic_loss, AuxiliaryClassifier) or c.conditioning != "style" or c.lambda_sem == 0:
            raise ValueError("the plain step has the published conditioning and semantic loss alone")

    def discriminator_losses(self, batch: CatsBatch, from_noise: bool) -> dict[str, Tensor]:
        """Equations 3 and 6 for D, with R1, and the classifier's loss on real images."""
        c, nets, x = self.config, self.nets, batch.x_source.detach().clone().requires_grad_()
        on_real, _ = nets["discriminator"](x, batch.d_source)
        _, clusters = nets["discriminator"](x, batch.d_source)
        with torch.no_grad():
            fake = nets["generator"](x, self._style(batch, batch.z, batch.x_ref, from_noise))
        on_fake, _ = nets["discriminator"](fake, batch.d_target)
        return {
            "real": against(on_real, 1),
            "fake": against(on_fake, 0),
            "r1": c.lambda_reg * gradient_penalty(on_real, x),
            "sem": c.lambda_sem * F.cross_entropy(clusters, batch.cluster),
        }

    def generator_losses(self, batch: CatsBatch, from_noise: bool) -> dict[str, Tensor]:
        """Equations 3 to 8 for G."""
        c, nets, x = self.config, self.nets, batch.x_source
        s = self._style(batch, batch.z, batch.x_ref, from_noise)
        fake = nets["generator"](x, s)
        on_fake, _ = nets["discriminator"](fake, batch.d_target)
        _, clusters = nets["discriminator"](fake, batch.d_target)
        head = batch.d_source if c.style_rec_domain == "source" else batch.d_target
        style = (nets["style_encoder"](fake, batch.cluster, head) - s).abs().mean()
        other = nets["generator"](x, self._style(batch, batch.z2, batch.x_ref2, from_noise)).detach()
        back = nets["generator"](fake, nets["style_encoder"](x, batch.cluster, batch.d_source))
        return {
            "adv": against(on_fake, 1),
            "sem": c.lambda_sem * F.cross_entropy(clusters, batch.cluster),
            "sty": c.lambda_sty * style,
            "cyc": c.lambda_cyc * (back - x).abs().mean(),
            "ds": -batch.lambda_ds * (fake - other).abs().mean(),
        }

    def _style(self, batch: CatsBatch, z: Tensor, image: Tensor, from_noise: bool) -> Tensor:
        if from_noise:
            return self.nets["mapping_network"](z, batch.cluster, batch.d_target)
        return self.nets["style_encoder"](image, batch.cluster, batch.d_target)


def against(logits: Tensor, label: int) -> Tensor:
    """Binary cross-entropy of `logits` (B,) with a constant label."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1: half the squared gradient norm at each image, mean over the batch."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return 0.5 * gradient.pow(2).reshape(len(images), -1).sum(1).mean()


def plain_trainer(method: StarGANv2 | CatsUDT, *, own_blocks: bool = False) -> PlainTrainer:
    """The plain trainer of `method`."""
    kind = PlainCatsUDT if isinstance(method, CatsUDT) else PlainStarGANv2
    return kind(method, own_blocks=own_blocks)  # type: ignore[arg-type]
