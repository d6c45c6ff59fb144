"""Known answers of everything between pixels and features: rounding, the resizes of the protocols, the encoders.

Nothing is fetched for it: the networks get weights under which their answer follows from the published definition.
Each function imports what it tests, so that a broken library costs its own cases only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.evaluation.self_test.case import Case, CaseRefused

if TYPE_CHECKING:
    from metrics.encoders import LpipsAlexNet
    from metrics.encoders.wide_resnet import WideResNet

PICTURE = np.array([[0, 3, 6], [12, 18, 30]], np.float32)
"""(2, 3) pixels, that the resizes bring to (4, 2)."""
LPIPS_HEADS = (0.03671144240, 0.08407826813, 0.10226156054, 0.10623897828, 0.07936397305)
"""Mean weight of each of the five heads of LPIPS 0.1 on AlexNet, as published (`lpips/weights/v0.1/alex.pth`)."""


def rounding_image_cases() -> Iterator[Case]:
    """float [-1, 1] to uint8 and back, once for all metrics."""
    import torch

    from methods.base import to_model_range, to_uint8

    case = partial(Case, "rounding")
    given = torch.tensor([-1.2, -1, -0.5, 0, 0.5, 1, 1.2])
    levels = torch.arange(256, dtype=torch.uint8)
    yield case("to uint8: nearest, clamped", lambda: to_uint8(given), [0, 0, 64, 128, 191, 255, 255])  # 63.75, 191.25
    yield case("from uint8", lambda: to_model_range(levels[[0, 51, 255]]), [-1, -0.6, 1], 1e-6)
    yield case("uint8 and back", lambda: to_uint8(to_model_range(levels)), range(256))


def resize_image_cases() -> Iterator[Case]:
    """By the definitions: output pixel i reads input position p(i) = i n_in / n_out (TensorFlow 1), or half-pixel
    (i + 1/2) n_in / n_out - 1/2 (all others); bilinear weights are linear in the distance, bicubic ones Keys' (1981).
    """
    import torch
    from PIL import Image
    from torch.nn import functional as F
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    def bicubic(row: np.ndarray, width: int) -> np.ndarray:
        return np.asarray(Image.fromarray(row[None].astype(np.float32)).resize((width, 1), Image.Resampling.BICUBIC))

    case = partial(Case, "resize")
    image = torch.from_numpy(PICTURE)[None, None]
    # Rows at 0, 1/2, 1, 3/2 (clamped to 1), columns at 0, 3/2.
    yield case(
        "TensorFlow 1 bilinear (FID)",
        lambda: interpolate_bilinear_2d_like_tensorflow1x(image, size=(4, 2), align_corners=False),
        [0, 4.5, 6, 14.25, 12, 24, 12, 24],
        1e-5,
    )
    # Rows at -1/4 (clamped to 0), 1/4, 3/4, 5/4 (clamped to 1), columns at 1/4, 7/4, however much is shrunk.
    yield case(
        "torch bilinear, no antialias",
        lambda: F.interpolate(image, size=(4, 2), mode="bilinear", align_corners=False, antialias=False),
        [0.75, 5.25, 3.9375, 10.6875, 10.3125, 21.5625, 13.5, 27],
        1e-5,
    )
    # Keys' weights with a = -1/2 at distances 1/4, 3/4, 5/4, 7/4: 111, 29, -9, -3 of 128. Shrunk by 2, half of them.
    enlarged, shrunk = [-3, -9, 29, 111, 111, 29, -9, -3], [0, 0, -9, 111, 29, -3, 0, 0]
    yield case("Pillow bicubic, enlarged", lambda: bicubic(128 * np.eye(8)[4], 16), [0] * 5 + enlarged + [0] * 3, 1e-4)
    yield case("Pillow bicubic, shrunk with antialias", lambda: bicubic(256 * np.eye(16)[7], 8), shrunk, 1e-4)


def lpips_image_cases() -> Iterator[Case]:
    """An AlexNet that sees only whether red is above LPIPS's mean of it, 123.7, and so is one of two unit vectors.

    Half the channels of each layer answer to one, half to the other. LPIPS of the two is then, summed over the heads,
    sum_c w_c (1/sqrt(C/2))², twice the mean weight. Colours of one side are at distance 0. It moves if the range of the
    input, the mean, a head or the order of the normalisation does.
    """
    case, answer = partial(Case, "lpips"), 2 * sum(LPIPS_HEADS)
    encoder = _sign_of_red()
    reds = np.zeros((1, 4, 3, 8, 8), np.uint8)
    reds[0, :, 0] = np.array([0, 123, 124, 255])[:, None, None]
    noise = np.random.default_rng(0).integers(0, 256, (1, 1, 3, 64, 64), dtype=np.uint8)
    across = [0, answer, answer, answer, answer, 0]
    yield case("two sides of red 123.7", lambda: encoder.pair_distances(reds), across, 1e-5)
    yield case("equal images", lambda: encoder.pair_distances(noise.repeat(2, axis=1)), 0, 0)
    yield case("float images", lambda: encoder.pair_distances(reds / 255), CaseRefused("uint8 in 0..255 wanted"))


def judge_image_cases() -> Iterator[Case]:
    """A judge whose first feature is the red channel over 255, and whose verdict is white or black."""
    import torch

    from metrics.encoders import JudgeEncoder, encoder_identity

    encoder = JudgeEncoder(_red_alone())
    greys = np.full((3, 3, 16, 16), [[[[0]]], [[[51]]], [[[255]]]], np.uint8)
    norms = (1 + 1e-5) ** -1.5  # of three BatchNorms at variance 1
    case = partial(Case, "judge")
    yield case("uint8 / 255", lambda: encoder(greys)[:, 0], [0, 0.2 * norms, norms], 1e-6)
    yield case("verdicts", lambda: encoder.predict(greys), [1, 1, 0])
    yield case("float images", lambda: encoder(greys / 255), CaseRefused("uint8 in 0..255 wanted"))
    content = b"a\0torch.float32\0(2,)\0" + np.array([1, -2], "<f4").tobytes()  # name, dtype, shape, bytes of each
    content += b"b\0torch.int64\0()\0" + np.array(3, "<i8").tobytes()
    tensors = {"b": torch.tensor(3), "a": torch.tensor([1.0, -2])}
    yield case("identity of weights", lambda: encoder_identity(tensors), sha256(content).hexdigest())


def _sign_of_red() -> LpipsAlexNet:
    """LPIPS on an AlexNet in which every kernel is 0 but for its centre."""
    import torch

    from metrics.encoders import LpipsAlexNet

    shapes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    state: dict[str, torch.Tensor] = {}
    for index, (outputs, inputs, size) in shapes.items():
        kernel = torch.zeros(outputs, inputs, size, size)
        kernel[: outputs // 2, 0, size // 2, size // 2] = 1  # of the first channel: red, later its positive part
        # Of red with the other sign; later of the last channel, its negative part.
        kernel[outputs // 2 :, -1 if index else 0, size // 2, size // 2] = 1 if index else -1
        state |= {f"features.{index}.weight": kernel, f"features.{index}.bias": torch.zeros(outputs)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alexnet.pth"
        torch.save(state, path)
        return LpipsAlexNet(path)


def _red_alone() -> WideResNet:
    """A judge of weights 0 but for those that carry red to its first feature; class 0 if that is above 1/2."""
    import torch

    from metrics.encoders.wide_resnet import WideResNet

    with torch.random.fork_rng(devices=[]), torch.no_grad():  # the constructor draws weights
        network = WideResNet(depth=10, widen=1, classes=2)
        for name, weight in network.named_parameters():
            if weight.ndim > 1:  # of a convolution or the linear layer
                weight.zero_()
            if name.endswith("shortcut.weight") or name == "linear.weight":
                weight[0, 0] = 1
        network.stem.weight[0, 0, 1, 1] = 1
        network.linear.bias[1] = 0.5
    return network
