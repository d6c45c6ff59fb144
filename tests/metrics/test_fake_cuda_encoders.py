"""Every encoder of the metrics and of the semantic stages on a GPU that is not there (see tests/helpers/fake_cuda.py).

One batch brings its features to the CPU once; nothing else waits for the device, but what the definition of
`inception-clean` demands: PIL resizes on the CPU.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from fake_cuda import CUDA, PRECISIONS, HostCopies, fake_gpu, on_gpu, precision_of, without_values
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from methods.parts.backbones import BACKBONES, build_backbone
from metrics.encoders import CLEAN, PYTORCH, TF1, InceptionEncoder, InceptionNetwork, LpipsAlexNet, inception
from metrics.encoders.dinov2 import VIT_L, Dinov2Encoder, _model_without_values
from metrics.encoders.inception import Preparation, _fold_norms
from metrics.encoders.lpips_alexnet import _untrained_lpips

COPIES = {"aten._to_copy.default", "aten.to.dtype_layout"}
"""Operations that bring a batch's results to the CPU, with and without inference mode."""


@pytest.fixture(autouse=True)
def no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake tensors become arrays of zeros, once they are on the CPU."""

    def numpy(tensor: FakeTensor) -> np.ndarray:
        assert tensor.device.type == "cpu"
        return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))

    monkeypatch.setattr(FakeTensor, "numpy", numpy, raising=False)


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """Inception's folded layers, on the meta device."""
    empty = tmp_path_factory.mktemp("inception") / "empty.pth"
    torch.save({}, empty)
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        full = FeatureExtractorInceptionV3("empty", ["2048"], empty)
        return _fold_norms(nn.Sequential(*(layer for name, layer in full.named_children() if name != "fc"))).eval()


def inception_on_gpu(layers: nn.Module, precision: torch.dtype, preparation: Preparation) -> InceptionEncoder:
    network = InceptionNetwork.__new__(InceptionNetwork)
    network._layers = deepcopy(layers).to(precision)
    network.precision, network.device, network.identity = precision, CUDA, ""
    return InceptionEncoder(network, preparation)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("preparation", [TF1, PYTORCH, CLEAN], ids=lambda preparation: preparation.name)
def test_inception_is_ready_for_a_gpu(
    layers: nn.Module, preparation: Preparation, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = inception_on_gpu(layers, precision, preparation)
    if preparation is CLEAN:  # PIL has no fake images
        resized = Preparation("", lambda x: torch.empty(len(x), 3, inception.SIDE, inception.SIDE, device=x.device))
        monkeypatch.setattr(encoder, "_preparation", resized)
    with fake_gpu():
        encoder._network._layers.to(CUDA)
        on_gpu(encoder._network._layers)
        with HostCopies() as watch, precision_of("bf16"):  # autocast that is on outside has no say
            features = encoder(torch.empty(130, 3, 32, 32, dtype=torch.uint8, device=CUDA))
    assert features.shape == (130, 2048)
    assert len(watch.seen) == 2, "128 images a batch"
    assert set(watch.seen) <= COPIES


def test_lpips_is_ready_for_a_gpu() -> None:
    encoder = LpipsAlexNet.__new__(LpipsAlexNet)
    encoder._model = _untrained_lpips().eval().requires_grad_(False)
    encoder.device = CUDA
    groups = np.arange(12).reshape(4, 3)
    with fake_gpu():
        encoder._model.to(CUDA)
        on_gpu(encoder._model)
        images = torch.empty(12, 2, 3, 32, 32, dtype=torch.uint8, device=CUDA)
        with HostCopies() as watch:
            within, across = encoder.grouped_distances(images, groups)
    assert (within.shape, across.shape) == ((12, 1), (4, 3))
    assert len(watch.seen) == 2, "distances within, and across"
    assert set(watch.seen) <= COPIES


def test_dinov2_is_ready_for_a_gpu() -> None:
    pytest.importorskip("timm", reason="needs timm: pip install -e '.[dinov2]'")
    encoder = Dinov2Encoder.__new__(Dinov2Encoder)
    encoder._model = _model_without_values(VIT_L).eval()
    encoder.device, encoder.width = CUDA, VIT_L.width
    with fake_gpu():
        encoder._model.to(CUDA)
        on_gpu(encoder._model)
        images = torch.empty(3, 3, 64, 64, dtype=torch.uint8, device=CUDA)
        with HostCopies() as watch:
            assert encoder(images).shape == (3, VIT_L.width)
            assert encoder.keys(images).shape == (3, 257, VIT_L.width)
    assert len(watch.seen) == 2
    assert set(watch.seen) <= COPIES


@pytest.mark.parametrize("name", list(BACKBONES))
def test_an_encoder_of_categories_is_ready_for_a_gpu(name: str) -> None:
    """Pooled features of photographs and digits, as they are clustered and adapted."""
    with fake_gpu():
        with without_values():
            network = build_backbone(name).eval()
        network.to(CUDA)
        on_gpu(network)
        for precision in PRECISIONS:
            for size in (32, 256):
                with HostCopies() as watch, precision_of(precision), torch.no_grad():
                    features = network(torch.empty(4, 3, size, size, device=CUDA))
                assert (features.device, len(features), features.shape[1]) == (CUDA, 4, network.width)
                assert watch.seen == []
