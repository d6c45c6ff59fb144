"""Semantic stages, the judge and an encoder on a GPU that is not there (see tests/helpers/fake_cuda.py).

Not here: backward passes, the judge's shifts (their numbers are read, and here the CPU's are fake, too), the
clustering itself (scikit-learn on the CPU), and the evaluator's check that outputs are finite, which waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import CUDA, PRECISIONS, HostCopies, fake_gpu, forward_phases, on_gpu, precision_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from bench.evaluation.judge import _relevel
from methods.base import Stage
from methods.semantics.adaptation import AdaptationConfig, FeatureAdaptation, ImageAdaptation
from methods.semantics.imsat import IMSAT, IMSATConfig
from methods.semantics.moco import MoCo, MoCoConfig
from methods.semantics.self_training import SelfTraining, SelfTrainingConfig
from metrics.encoders.judge import JudgeEncoder
from metrics.encoders.wide_resnet import WideResNet

CLUSTERS, SIZE = 3, 32
LABELS = torch.arange(12) % CLUSTERS


def images(count: int) -> Tensor:
    """uint8 (count, 3, SIZE, SIZE)."""
    return torch.zeros(count, 3, SIZE, SIZE, dtype=torch.uint8)


def features(count: int) -> Tensor:
    """float32 (count, 16)."""
    return torch.zeros(count, 16)


STAGES: dict[str, Callable[[], Stage]] = {
    "imsat": lambda: IMSAT(IMSATConfig(width=8, critic_width=8), images(12), CLUSTERS),
    "moco, small": lambda: MoCo(MoCoConfig(encoder="small", queue=256), (images(12), images(13))),
    "moco, resnet50": lambda: MoCo(MoCoConfig(queue=256), (images(12), images(13))),
    "adaptation of images": lambda: ImageAdaptation(
        AdaptationConfig(width=8, discriminator_width=8, ema_decay=0.9), images(12), images(13), LABELS, CLUSTERS
    ),
    "adaptation of features": lambda: FeatureAdaptation(
        AdaptationConfig(width=8, discriminator_width=8), features(12), features(13), LABELS, CLUSTERS
    ),
    "self-training": lambda: SelfTraining(SelfTrainingConfig(), images(12), images(13), LABELS, CLUSTERS),
}
"""With the published layers, narrower; EGSC-IT's autoencoders are prepared in test_fake_cuda.py."""


def moved(value: Any) -> Any:
    """What a stage is trained on, as the harness has it: on the GPU."""
    if isinstance(value, Tensor):
        return torch.empty(value.shape, dtype=value.dtype, device=CUDA)
    return tuple(map(moved, value)) if isinstance(value, tuple) and any(isinstance(v, Tensor) for v in value) else value


@pytest.mark.parametrize("name", list(STAGES))
def test_a_stage_is_ready_for_a_gpu(name: str) -> None:
    """Every phase's forward part in float32 and under autocast; no copy to the CPU, no loss elsewhere."""
    stage = STAGES[name]()
    with fake_gpu():
        stage.to(CUDA).train()
        for key, value in list(vars(stage).items()):
            if key not in ("_buffers", "_modules", "_parameters"):
                setattr(stage, key, moved(value))
        on_gpu(stage)
        for precision in PRECISIONS:
            assert forward_phases(stage, torch.Generator().manual_seed(0), precision) >= 1


def test_the_judge_is_ready_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels, a training's forward pass and loss, and as an encoder: one copy to the CPU for each batch."""
    network = WideResNet(depth=10, widen=1, classes=CLUSTERS, dropout=0.4)
    monkeypatch.setattr(FakeTensor, "numpy", lambda tensor: np.zeros(tuple(tensor.shape), np.float32), raising=False)
    with fake_gpu():
        network.to(CUDA).train()
        x = torch.empty(8, 3, SIZE, SIZE, device=CUDA)
        labels = torch.zeros(8, dtype=torch.int64, device=CUDA)
        with HostCopies() as watch, precision_of("float32"):
            x = _relevel(x, 0.4, torch.Generator().manual_seed(0))
            loss = torch.nn.functional.cross_entropy(network(x), labels)
        assert (loss.device, loss.shape, watch.seen) == (CUDA, (), [])
        encoder = JudgeEncoder.__new__(JudgeEncoder)
        encoder._network, encoder.width, encoder.device = network.eval(), network.width, CUDA
        with HostCopies() as watch:
            found = encoder(torch.empty(128, 3, SIZE, SIZE, dtype=torch.uint8, device=CUDA))
        assert found.shape == (128, network.width)
        assert len(watch.seen) == 2
        assert set(watch.seen) <= {"aten._to_copy.default", "aten.to.dtype_layout"}  # with and without inference mode
