"""What has to hold of every method and stage on a real device; each function returns figures, or raises.

The same that tests/methods/test_fake_cuda*.py ask of fake tensors, with what these cannot do: backward passes, gradient
penalties, optimisers, and numbers.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from made_up_training import CLUSTERS, make
from torch import Tensor

from bench.core.randomness import randomness, seeded
from bench.training.step_cost import made_up_domains
from methods.base import Exemplar, Noise, Stage, Translator, run_step
from methods.semantics.adaptation import AdaptationConfig, FeatureAdaptation, ImageAdaptation
from methods.semantics.imsat import IMSAT, IMSATConfig
from methods.semantics.moco import MoCo, MoCoConfig
from methods.semantics.self_training import SelfTraining, SelfTrainingConfig

Autocast = Callable[[], AbstractContextManager[Any]]
STAGES = ("imsat", "moco", "adaptation of images", "adaptation of features", "self-training")
CLOSE = 1e-3
"""Largest relative difference between sums of another order."""


@contextmanager
def waits_noted(device: str) -> Iterator[list[str]]:
    """What the host waits for inside (on a GPU): copies of numbers that were drawn on the CPU among it."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        noted: list[str] = []
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield noted
        finally:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
            noted += [f"{warning.filename}:{warning.lineno}" for warning in seen]


def check_step(name: str, side: int, device: str, autocast: Autocast, settings: dict[str, Any]) -> dict[str, Any]:
    """Steps in float32 and under `autocast`, then a translation for each kind of style."""
    training = make(name, "paper", "digits" if side <= 32 else "pictures", side, device, images=16, **settings)
    run_step(training.method, training.batch())  # optimisers make their state
    phases, waits = 0, set[str]()
    for precision in (nullcontext, autocast):
        batch = training.batch(1)
        for field, value in vars(batch).items():
            if isinstance(value, Tensor) and value.device.type != device:
                raise RuntimeError(f"{field} of the batch is on {value.device}")
        with waits_noted(device) as noted:
            losses = run_step(training.method, batch, precision)
        waits |= set(noted)
        for loss, value in losses.items():
            if value.device.type != device or not bool(value.isfinite()):
                raise RuntimeError(f"loss {loss} is {float(value)} on {value.device}")
        phases = len({loss.partition(":")[0] for loss in losses})
    _check_translations(training.method.eval(), side, device, autocast)
    return {"side": side, "phases": phases, "waits": sorted(waits)}


@torch.no_grad()
def _check_translations(method: Translator, side: int, device: str, autocast: Autocast) -> None:
    x = torch.rand(4, 3, side, side, device=device) * 2 - 1
    kinds = {"noise": Noise(torch.randn(4, max(1, method.noise_dim), device=device)), "exemplar": Exemplar(x.flip(0))}
    for style in [kinds[kind] for kind in method.style_sources] or [None]:
        with autocast():
            y = method.translate(x, 0, 1, style)
        if y.shape != x.shape or y.device.type != device or not bool(y.isfinite().all()):
            raise RuntimeError(f"translation with {style!r:.40}: {tuple(y.shape)} on {y.device}")


def check_resume(name: str, side: int, device: str, autocast: Autocast, settings: dict[str, Any]) -> dict[str, Any]:
    """Four steps, and two with two more after a state that was saved and loaded: the same training within rounding."""
    kind = "digits" if side <= 32 else "pictures"
    whole = make(name, "paper", kind, side, device, images=16, **settings)
    begun, resumed = copy.deepcopy(whole), copy.deepcopy(whole)  # networks that no state holds (a perceptual one), too
    for step in range(4):
        run_step(whole.method, whole.batch(step), autocast)
    for step in range(2):
        run_step(begun.method, begun.batch(step), autocast)
    resumed.method.load_state_dict(copy.deepcopy(begun.method.state_dict()))
    for network, optimizer in resumed.method.optimizers.items():
        optimizer.load_state_dict(copy.deepcopy(begun.method.optimizers[network].state_dict()))
    for step in range(2, 4):
        run_step(resumed.method, resumed.batch(step), autocast)
    difference = _difference(whole.method.state_dict(), resumed.method.state_dict())
    if difference > (CLOSE if device == "cuda" else 0.0):  # a GPU adds up in an order of its own
        raise RuntimeError(f"a resumed training differs by {difference:.2e}")
    return {"difference": difference}


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Length of the difference of all weights over their length."""
    pairs = [(a.double(), other[name].double()) for name, a in one.items() if a.is_floating_point()]
    apart = sum(float((a - b).square().sum()) for a, b in pairs)
    return (apart / sum(float(a.square().sum()) for a, _ in pairs)) ** 0.5


def check_stage(name: str, side: int, device: str, autocast: Autocast, small: bool) -> dict[str, Any]:
    """Two steps of a semantic stage in the precision that stages have, and its end."""
    with seeded("gpu checks", name):
        stage = _stage(name, side, device, small)
    stage.to(device).train()
    losses: dict[str, Tensor] = {}
    for step in range(2):
        losses = run_step(stage, randomness("gpu checks", step), autocast)
    for loss, value in losses.items():
        if value.device.type != device or not bool(value.isfinite()):
            raise RuntimeError(f"loss {loss} is {float(value)} on {value.device}")
    with torch.no_grad():
        stage.eval().finish()
    return {"losses": len(losses)}


def _stage(name: str, side: int, device: str, small: bool) -> Stage:
    a, b = made_up_domains(side, 16, device).images
    labels = torch.arange(16, device=device) % CLUSTERS
    narrow: dict[str, Any] = {"width": 4, "batch_size": 8} if small else {}
    if name == "imsat":
        return IMSAT(IMSATConfig(**narrow, **({"critic_width": 8} if small else {})), a, CLUSTERS)
    if name == "moco":
        little: dict[str, Any] = {"encoder": "small", "queue": 64, "key_splits": 2, **narrow}
        return MoCo(MoCoConfig(**(little if small else {})), (a, b))
    if name == "self-training":
        return SelfTraining(SelfTrainingConfig(**narrow), a, b, labels, CLUSTERS)
    adaptation = AdaptationConfig(**narrow)
    if name == "adaptation of images":
        return ImageAdaptation(adaptation, a, b, labels, CLUSTERS)
    features = [torch.rand(16, 32, device=device) for _ in range(2)]
    return FeatureAdaptation(adaptation, *features, labels, CLUSTERS)


def check_scoring(device: str, small: bool) -> dict[str, Any]:
    """The judge's step, and its features on the device against those on the CPU; or the library that this needs."""
    try:
        from metrics.encoders.judge import JudgeEncoder
        from metrics.encoders.wide_resnet import WideResNet
    except ModuleNotFoundError as error:  # all else works with torch and numpy alone
        return {"not checked": str(error)}
    with seeded("gpu checks", "judge"):
        network = WideResNet(depth=10 if small else 16, widen=1 if small else 8, classes=CLUSTERS, dropout=0.4)
    (images, _) = made_up_domains(32, 64).images
    expected = JudgeEncoder(network)(images)
    network.to(device).train()
    labels = torch.arange(64, device=device) % CLUSTERS
    torch.nn.functional.cross_entropy(network(images.to(device).float() / 255), labels).backward()
    with seeded("gpu checks", "judge"):
        again = WideResNet(depth=10 if small else 16, widen=1 if small else 8, classes=CLUSTERS, dropout=0.4)
    found = JudgeEncoder(again.to(device))(images)
    difference = float(abs(found - expected).max() / abs(expected).max())
    if difference > CLOSE:
        raise RuntimeError(f"features differ from the CPU's by {difference:.2e}")
    return {"difference": difference}
