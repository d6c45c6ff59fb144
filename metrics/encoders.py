"""Encoders: uint8 images to float32 features, by networks that are named, hashed, frozen and in evaluation mode.

Images enter every encoder as uint8, so a wrong range cannot pass in silence (the most frequent defect of LPIPS and FID
values that users report); each encoder makes its own range and size in one place. Nothing here opens a socket.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lpips import LPIPS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from metrics.wide_resnet import WideResNet

Advance = Callable[[int], None]
"""Called with the number of images done since the last call."""
Images = np.ndarray | Tensor


def identity_of(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over the sorted names, dtypes, shapes and bytes of `tensors`: the identity of weights in use.

    Not that of a file: a file may be repacked, or hold more than is used.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class InceptionEncoder:
    """The FID network: Inception-v3 of 2015-12-05, pool3, with the resize of TensorFlow 1 (both torch-fidelity's).

    Equal to torch-fidelity's features within 1e-5 of their largest value, at about twice the rate on a CPU: every
    BatchNorm is folded into its convolution, and channels stand last in memory.
    """

    name = "inception-2015-12-05-tf1-299"
    width = 2048

    def __init__(self, weights_path: str | Path, device: str | torch.device = "cpu") -> None:
        """`weights_path`: under torch-fidelity's key names; `fc` must be there but is not used.

        FileNotFoundError if there is no such file; ValueError if it does not hold exactly this network's tensors.
        """
        content = Path(weights_path).read_bytes()
        state = _read_tensors(content, weights_path)
        try:
            with torch.random.fork_rng(devices=[]):  # the constructor draws initial weights
                # torch-fidelity unpickles without restrictions: of the very bytes that passed a restricted load above.
                full = FeatureExtractorInceptionV3(self.name, ["2048"], io.BytesIO(content))
        except (RuntimeError, AttributeError) as error:
            raise ValueError(f"{weights_path}: not the weights of the FID Inception network: {error}") from error
        used = {key: value for key, value in state.items() if not key.startswith("fc.")}
        self.identity = identity_of(_without_counters(used))
        self.device = torch.device(device)
        layers = [layer for name, layer in full.named_children() if name != "fc"]  # registered in order of use
        self._network = _fold_norms(nn.Sequential(*layers)).to(self.device).to(memory_format=torch.channels_last)

    def __call__(self, images: Images, batch_size: int | None = None, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, 2048). ValueError for images of another dtype or shape.

        `batch_size` by default: 8 on a CPU, where small batches stay in its cache, and 128 elsewhere. Features agree
        within 1e-5 of their largest value whatever it is.
        """
        if batch_size is None:
            batch_size = 8 if self.device.type == "cpu" else 128
        return _encode(self._features, images, self.width, batch_size, self.device, progress)

    def _features(self, images: Tensor) -> Tensor:
        x = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(299, 299), align_corners=False)
        x = (x - 128) / 128  # the original graph's range, [-1, 0.9921875]
        return self._network(x.contiguous(memory_format=torch.channels_last)).flatten(1)


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
        state = _read_tensors(Path(weights_path).read_bytes(), weights_path)
        model = _untrained_lpips()
        targets = model.net.state_dict()  # `slice2.3.weight`, ...
        sources = {name: "features." + name.split(".", 1)[1] for name in targets}
        wrong = [key for name, key in sources.items() if key not in state or state[key].shape != targets[name].shape]
        if wrong:
            raise ValueError(f"{weights_path}: not AlexNet's weights, absent or of another shape: {', '.join(wrong)}")
        model.net.load_state_dict({name: state[key] for name, key in sources.items()})
        self.identity = identity_of(model.state_dict())
        self.device = torch.device(device)
        self._model = model.eval().requires_grad_(False).to(self.device)

    def pair_distances(self, images: Images, batch_size: int = 64, progress: Advance | None = None) -> np.ndarray:
        """uint8 (S, K, 3, H, W), K >= 2 styles of S sources -> float32 (S, K(K-1)/2), pairs i < j in row order.

        Every image passes AlexNet once; about `batch_size` images (at least the K of one source) are held at a time.
        Equal images have distance 0 exactly. ValueError for another dtype or shape.
        """
        if images.ndim != 5 or images.shape[1] < 2:
            raise ValueError(f"images: shape (sources, styles >= 2, 3, H, W) wanted, got {tuple(images.shape)}")
        sources, styles = images.shape[:2]
        _check_images(images[:, 0])
        _check_batch_size(batch_size)
        rows, columns = torch.triu_indices(styles, styles, offset=1).tolist()
        step = max(1, batch_size // styles)
        distances = np.empty((sources, len(rows)), np.float32)
        for start in range(0, sources, step):
            part = _to_device(images[start : start + step], self.device)  # (s, K, 3, H, W)
            with _exact_inference():
                maps = (layer.unflatten(0, part.shape[:2]) for layer in self._maps(part.flatten(0, 1)))  # (s, K, D)
                squares = torch.stack([_squared_distances(layer) for layer in maps]).sum(dim=0)  # (s, K, K)
            distances[start : start + len(part)] = squares[:, rows, columns].cpu().numpy()
            if progress is not None:
                progress(part.shape[0] * styles)
        return distances

    def distances(self, x: Images, y: Images, batch_size: int = 32, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) twice -> float32 (N,): the LPIPS of x[i] and y[i]. ValueError for other shapes."""
        if x.shape != y.shape:
            raise ValueError(f"x and y: images of the same shape wanted, got {tuple(x.shape)} and {tuple(y.shape)}")
        _check_images(x)
        _check_images(y)
        _check_batch_size(batch_size)
        distances = np.empty(len(x), np.float32)
        for start in range(0, len(x), batch_size):
            part = slice(start, start + batch_size)
            pairs = torch.stack([_to_device(x[part], self.device), _to_device(y[part], self.device)], dim=1)
            distances[part] = self.pair_distances(pairs, 2 * batch_size)[:, 0]
            if progress is not None:
                progress(len(pairs))
        return distances

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


class JudgeEncoder:
    """The task's own judge: its penultimate features, and its verdicts. Input uint8 / 255."""

    name = "judge-penultimate-v1"

    def __init__(self, network: WideResNet) -> None:
        """A frozen copy of `network` in evaluation mode, on its device; `network` itself stays as it is."""
        self._network = deepcopy(network).eval().requires_grad_(False)
        self.identity = identity_of(_without_counters(network.state_dict()))
        self.width = network.width
        self.device = network.linear.weight.device

    def __call__(self, images: Images, batch_size: int = 64, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, width). ValueError for images of another dtype or shape."""
        return _encode(
            lambda part: self._network.features(part.float() / 255),
            images,
            self.width,
            batch_size,
            self.device,
            progress,
        )

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32 (N, width) features, as the call returns them -> float32 (N, classes): nothing is encoded twice."""
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ValueError(f"features: shape (N, {self.width}) wanted, got {features.shape}")
        with _exact_inference():
            return self._network.linear(torch.tensor(features, dtype=torch.float32, device=self.device)).cpu().numpy()

    def classify(self, features: np.ndarray) -> np.ndarray:
        """float32 (N, width) features -> int64 (N,): the most likely class, the lowest of equals."""
        return self.logits(features).argmax(axis=1)

    def predict(self, images: Images, batch_size: int = 64, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> int64 (N,): the most likely class."""
        return self.classify(self(images, batch_size, progress))


def _encode(
    encode: Callable[[Tensor], Tensor],
    images: Images,
    width: int,
    batch_size: int,
    device: torch.device,
    progress: Advance | None,
) -> np.ndarray:
    """`encode` over batches of uint8 `images` (N, 3, H, W), which may be memory-mapped -> float32 (N, width)."""
    _check_images(images)
    _check_batch_size(batch_size)
    features = np.empty((len(images), width), np.float32)
    for start in range(0, len(images), batch_size):
        part = _to_device(images[start : start + batch_size], device)
        with _exact_inference():
            features[start : start + len(part)] = encode(part).cpu().numpy()
        if progress is not None:
            progress(len(part))
    return features


def _check_images(images: Images) -> None:
    """ValueError unless uint8 (N, 3, H, W), none of H and W 0."""
    if images.dtype not in (np.uint8, torch.uint8):
        raise ValueError(
            f"images: uint8 in 0..255 wanted, got {images.dtype}. Floats may be in [0, 1] or [-1, 1], and the "
            "wrong one gives a wrong number that looks right: round to uint8 first"
        )
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ValueError(f"images: shape (N, 3, H, W) wanted, got {tuple(images.shape)}")


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size: at least 1 wanted, got {batch_size}")


def _to_device(images: Images, device: torch.device) -> Tensor:
    """A copy on `device`; of a memory-mapped array it reads just these images."""
    return (images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))).to(device)


@contextmanager
def _exact_inference() -> Iterator[None]:
    """No graph, no autocast, no TF32 in convolutions (the default of cuDNN): either would move features by 1e-3."""
    exact_convolutions = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with (
        torch.inference_mode(),
        exact_convolutions,
        torch.autocast("cuda", enabled=False),
        torch.autocast("cpu", enabled=False),
    ):
        yield


def _squared_distances(points: Tensor) -> Tensor:
    """(s, K, D) -> (s, K, K) squared Euclidean distances, by one product instead of K(K-1)/2 differences.

    Taken relative to the first point, so that equal points have distance 0 and rounding is relative to the spread.
    """
    points = points - points[:, :1]
    # Long float32 sums lose digits (7e-6 of an LPIPS at 256 px): short ones, added up in float64.
    products = torch.stack([(part @ part.mT).double() for part in points.split(4096, dim=2)]).sum(dim=0)
    squares = products.diagonal(dim1=1, dim2=2)
    return (squares[:, :, None] + squares[:, None, :] - 2 * products).clamp_min(0)


def _read_tensors(content: bytes, path: str | Path) -> dict[str, Tensor]:
    """The state dict in `content`. ValueError with the file's name if it is damaged or holds anything but tensors."""
    try:
        state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: not a readable PyTorch file of tensors: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: a state dict (name -> tensor) wanted")
    return state


def _untrained_lpips() -> LPIPS:
    """LPIPS with its trained heads on an AlexNet of random weights: nothing is downloaded."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # lpips 0.1.4 calls torchvision's constructor with its old arguments.
        warnings.filterwarnings("ignore", "The parameter 'pretrained' is deprecated since 0.13", UserWarning)
        warnings.filterwarnings("ignore", "Arguments other than a weight enum or `None` for 'weights'", UserWarning)
        return LPIPS(net="alex", pnet_rand=True, verbose=False)


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without BatchNorm's `num_batches_tracked`, which no evaluation uses."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def _fold_norms(network: nn.Module) -> nn.Module:
    """Every `conv` followed by its `bn` becomes one convolution with a bias."""
    for module in network.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network
