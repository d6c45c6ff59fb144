"""LPIPS on AlexNet: the distances of many pairs from one pass of each image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lpips import LPIPS
from torch import Tensor
from torch.nn import functional as F

from metrics.encoders.base import (
    Advance,
    Images,
    check_encoder_batch_size,
    check_encoder_images,
    encoder_identity,
    exact_encoder_inference,
    read_encoder_tensors,
    to_device,
)


class LpipsAlexNet:
    """LPIPS 0.1 on AlexNet (Zhang et al. 2018), with the heads of the `lpips` package.

    `lpips-alexnet-v1`: uint8 / 127.5 - 1; a side below 64 px is enlarged to 64 px (bilinear, align_corners=False, no
    antialias), since AlexNet's last maps would hold fewer than 3 x 3 values.
    """

    name = "lpips-alexnet-v1"

    def __init__(self, weights_path: str | Path, device: str | torch.device = "cpu") -> None:
        """`weights_path`: AlexNet under torchvision's key names; only `features.*` is used.

        FileNotFoundError if there is no such file; ValueError if it does not hold AlexNet's convolutions.
        """
        with Path(weights_path).open("rb") as file:
            state = read_encoder_tensors(file, weights_path)
        model = _untrained_lpips()
        targets = model.net.state_dict()  # `slice2.3.weight`, ...
        sources = {name: "features." + name.split(".", 1)[1] for name in targets}
        wrong = [key for name, key in sources.items() if key not in state or state[key].shape != targets[name].shape]
        if wrong:
            raise ValueError(f"{weights_path}: not AlexNet's weights, absent or of another shape: {', '.join(wrong)}")
        model.net.load_state_dict({name: state[key] for name, key in sources.items()})
        self.identity = encoder_identity(model.state_dict())
        self.device = torch.device(device)
        self._model = model.eval().requires_grad_(False).to(self.device)

    def pair_distances(self, images: Images, batch_size: int = 64, progress: Advance | None = None) -> np.ndarray:
        """uint8 (S, K, 3, H, W), K >= 2 styles of S sources -> float32 (S, K(K-1)/2), pairs i < j in row order.

        Every image passes AlexNet once; about `batch_size` images (at least the K of one source) are held at a time.
        Equal images have distance 0 exactly. ValueError for another dtype or shape.
        """
        _check_styles(images, at_least=2)
        check_encoder_batch_size(batch_size)
        sources, styles = images.shape[:2]
        step = max(1, batch_size // styles)
        distances = np.empty((sources, _pairs(styles)), np.float32)
        for start in range(0, sources, step):
            part = to_device(images[start : start + step], self.device)  # (s, K, 3, H, W)
            with exact_encoder_inference():
                squares, _ = self._measure(part)
                distances[start : start + len(part)] = _above_diagonal(squares)
            if progress is not None:
                progress(part.shape[0] * styles)
        return distances

    def grouped_distances(
        self, images: Images, groups: np.ndarray, batch_size: int = 64, progress: Advance | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances within each source, and between different sources at their style 0, from one pass of AlexNet.

        `images`: uint8 (S, K, 3, H, W), K >= 1 styles of S sources. `groups`: int64 (G, g) indices of sources, g >= 2
        different ones a group, every source in at least one group.
        Returns float32 `within` (S, K(K-1)/2), equal to `pair_distances` (no columns where K = 1), and `across`
        (G, g(g-1)/2): pairs i < j of a group in row order.

        A source in two groups is encoded twice. Held at a time: about `batch_size` images (at least the K of one
        source), and the maps of style 0 of fewer than g sources. `progress` counts G x g x K images.
        ValueError for images of another dtype or shape, or groups other than described.
        """
        _check_styles(images, at_least=1)
        check_encoder_batch_size(batch_size)
        sources, styles = images.shape[:2]
        _check_groups(groups, sources)
        size, order = groups.shape[1], groups.reshape(-1)
        within = np.empty((sources, _pairs(styles)), np.float32)
        across = np.empty((len(groups), _pairs(size)), np.float32)
        waiting: list[Tensor] = []  # of each layer the maps (w, D), style 0, of sources whose group is not complete
        done, step = 0, max(1, batch_size // styles)
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            with exact_encoder_inference():
                squares, first = self._measure(to_device(images[rows], self.device))
                within[rows] = _above_diagonal(squares)
                maps = [torch.cat(both) for both in zip(waiting, first, strict=True)] if waiting else first
                ready = len(maps[0]) // size
                complete = (layer[: ready * size].unflatten(0, (ready, size)) for layer in maps)  # (r, g, D)
                squares = torch.stack([_squared_distances(layer) for layer in complete]).sum(dim=0)
                across[done : done + ready] = _above_diagonal(squares)
                waiting = [layer[ready * size :].clone() for layer in maps]
            done += ready
            if progress is not None:
                progress(len(rows) * styles)
        return within, across

    def distances(self, x: Images, y: Images, batch_size: int = 32, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) twice -> float32 (N,): the LPIPS of x[i] and y[i]. ValueError for other shapes."""
        if x.shape != y.shape:
            raise ValueError(f"x and y: images of the same shape wanted, got {tuple(x.shape)} and {tuple(y.shape)}")
        check_encoder_images(x)
        check_encoder_images(y)
        check_encoder_batch_size(batch_size)
        distances = np.empty(len(x), np.float32)
        for start in range(0, len(x), batch_size):
            part = slice(start, start + batch_size)
            pairs = torch.stack([to_device(x[part], self.device), to_device(y[part], self.device)], dim=1)
            distances[part] = self.pair_distances(pairs, 2 * batch_size)[:, 0]
            if progress is not None:
                progress(len(pairs))
        return distances

    def _measure(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """uint8 (s, K, 3, H, W) -> LPIPS within each source (s, K, K), and of each layer the maps (s, D) of style 0."""
        squares = torch.zeros(len(images), images.shape[1], images.shape[1], dtype=torch.float64, device=self.device)
        first = []
        for layer in self._maps(images.flatten(0, 1)):  # (s K, D); one layer's maps at a time
            points = layer.unflatten(0, images.shape[:2])
            squares += _squared_distances(points)
            first.append(points[:, 0].clone())
        return squares, first

    def _maps(self, images: Tensor) -> Iterator[Tensor]:
        """uint8 (B, 3, H, W) -> each layer's maps (B, D), scaled so that LPIPS is a squared Euclidean distance of them.

        LPIPS sums over layers the mean over positions of sum_c w_c (f_c - g_c)², w >= 0, f and g of unit length over c.
        """
        x = images.float() / 127.5 - 1  # (B, 3, H, W) in [-1, 1]
        size = (max(64, x.shape[2]), max(64, x.shape[3]))
        if size != tuple(x.shape[2:]):
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=False)
        outputs = self._model.net(self._model.scaling_layer(x))
        for head, maps in zip(self._model.lins, outputs, strict=True):
            weight = head.model[-1].weight.sqrt() / (maps.shape[2] * maps.shape[3]) ** 0.5  # (1, C, 1, 1)
            length = maps.square().sum(dim=1, keepdim=True).sqrt()
            yield (maps / (length + 1e-10) * weight).flatten(1)  # 1e-10 as in the package


def _squared_distances(points: Tensor) -> Tensor:
    """(s, K, D) -> (s, K, K) squared Euclidean distances, by one product instead of K(K-1)/2 differences.

    Taken relative to the first point, so that equal points have distance 0 and rounding is relative to the spread.
    """
    points = points - points[:, :1]
    # Long float32 sums lose digits (7e-6 of an LPIPS at 256 px): short ones, added up in float64.
    products = torch.stack([(part @ part.mT).double() for part in points.split(4096, dim=2)]).sum(dim=0)
    squares = products.diagonal(dim1=1, dim2=2)
    return (squares[:, :, None] + squares[:, None, :] - 2 * products).clamp_min(0)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _above_diagonal(matrices: Tensor) -> np.ndarray:
    """(s, K, K) -> (s, K(K-1)/2), i < j in row order."""
    return matrices.cpu().numpy()[:, *np.triu_indices(matrices.shape[1], k=1)]


def _check_styles(images: Images, at_least: int) -> None:
    if images.ndim != 5 or images.shape[1] < at_least:
        raise ValueError(f"images: shape (sources, styles >= {at_least}, 3, H, W) wanted, got {tuple(images.shape)}")
    check_encoder_images(images[:, 0])


def _check_groups(groups: np.ndarray, sources: int) -> None:
    """ValueError unless int64 (G, g >= 2), indices of `sources` sources, none twice in a group, none left out."""
    if groups.dtype != np.int64 or groups.ndim != 2 or groups.shape[1] < 2:
        raise ValueError(f"groups: int64 (groups, sources >= 2) wanted, got {groups.dtype} {groups.shape}")
    if groups.size and (groups.min() < 0 or groups.max() >= sources):
        raise ValueError(f"groups: indices in 0..{sources - 1} wanted, got {groups.min()} to {groups.max()}")
    ordered = np.sort(groups, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if twice.any():
        raise ValueError(f"groups: group {twice.argmax()} holds a source twice: {groups[twice.argmax()].tolist()}")
    left_out = np.setdiff1d(np.arange(sources), groups)
    if len(left_out):
        raise ValueError(f"groups: source {left_out[0]} is in no group ({len(left_out)} of {sources} are in none)")


def _untrained_lpips() -> LPIPS:
    """LPIPS with its trained heads on an AlexNet of random weights: nothing is downloaded."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # lpips 0.1.4 calls torchvision's constructor with its old arguments.
        warnings.filterwarnings("ignore", "The parameter 'pretrained' is deprecated since 0.13", UserWarning)
        warnings.filterwarnings("ignore", "Arguments other than a weight enum or `None` for 'weights'", UserWarning)
        return LPIPS(net="alex", pnet_rand=True, verbose=False)
