"""The judges: evaluation classifiers, one per (task, data version, domain), shared by all methods and seeds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from bench.core.device import Runtime
from bench.core.files import (
    damaged_folder_error,
    file_lock,
    read_json,
    read_weights_file,
    remove_leftover_files,
    write_atomically,
    write_json,
)
from bench.core.progress import progress, say
from bench.core.randomness import randomness, seeded
from bench.data.types import TaskData
from bench.spec.presets import JudgeSettings
from metrics.accuracy import accuracy
from metrics.encoders import JudgeEncoder
from metrics.encoders.wide_resnet import WideResNet

JUDGE_VERSION = 1
"""Raised when a change of this file alters a judge."""


@dataclass(frozen=True)
class Judge:
    """A trained classifier of one domain's images."""

    encoder: JudgeEncoder
    """Images -> features and logits; `encoder.identity` is the hash of the weights."""
    accuracy: float
    """Accuracy on the domain's real test images, in [0, 1]."""
    per_class: dict[str, float]
    """Class -> accuracy on its test images."""
    test_images: int
    """Number of those test images."""

    def classify(self, features: np.ndarray) -> np.ndarray:
        """float32 (N, width) features of `encoder` -> int64 (N,): the most likely class."""
        return self.encoder.classify(features)


def get_judge(root: Path, data: TaskData, domain: int, settings: JudgeSettings, runtime: Runtime) -> Judge:
    """The judge of `domain`: read from `root/judges`, or trained now from a seed of its own.

    It is fitted on the domain's training images and labels; its accuracy is that on the test images. Raises BenchError
    if what is stored is damaged: another judge's numbers would look right.
    """
    folder = judge_folder(root, data, domain, settings)
    with file_lock(folder / ".lock"):
        remove_leftover_files(folder)
        if not (folder / "judge.json").exists():
            _train_and_store(folder, data, domain, settings, runtime)
    with seeded("judge", "load"):  # the constructor draws weights, which the next lines replace
        network = _network(len(data.classes), settings)
    try:
        record = read_json(folder / "judge.json")
        network.load_state_dict(read_weights_file(folder / "weights.safetensors"))
        encoder = JudgeEncoder(network.to(runtime.device))
        if encoder.identity != record["identity"]:
            raise ValueError("the weights are not those that were stored with it")
        return Judge(encoder, record["accuracy"], record["per_class"], record["test_images"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise damaged_folder_error(folder, error) from error


def judge_folder(root: Path, data: TaskData, domain: int, settings: JudgeSettings) -> Path:
    """Folder of the judge of `domain`, complete once it holds `judge.json`."""
    parts = [JUDGE_VERSION, data.version, data.domains[domain], len(data.classes), asdict(settings)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    return root / "judges" / f"{data.domains[domain]}-{key}"


def _network(classes: int, settings: JudgeSettings) -> WideResNet:
    return WideResNet(depth=settings.depth, widen=settings.widen, classes=classes, dropout=settings.dropout)


def _train_and_store(folder: Path, data: TaskData, domain: int, settings: JudgeSettings, runtime: Runtime) -> None:
    train, test = data.splits[domain, "train"], data.splits[domain, "test"]
    images = torch.from_numpy(np.array(train.images)).to(runtime.device)
    labels = torch.from_numpy(np.array(train.labels)).to(runtime.device)
    name = data.domains[domain]
    with runtime.threads_pinned(runtime.threads):
        network = _fit(
            images, labels, len(data.classes), settings, runtime, f"judge of {name}", f"{data.version}/{name}"
        )
        encoder = JudgeEncoder(network)
        predicted = encoder.predict(np.array(test.images))
    per_class = {
        label: accuracy(predicted[test.labels == index], test.labels[test.labels == index])
        for index, label in enumerate(data.classes)
    }
    overall = accuracy(predicted, test.labels)
    weights = save({key: value.contiguous().cpu() for key, value in network.state_dict().items()})
    write_atomically(folder / "weights.safetensors", lambda file: file.write(weights))
    write_json(
        folder / "judge.json",
        {
            "version": JUDGE_VERSION,
            "domain": name,
            "data_version": data.version,
            "settings": asdict(settings),
            "identity": encoder.identity,
            "accuracy": overall,
            "per_class": per_class,
            "test_images": len(test),
        },
    )
    say(f"judge of {name}: {100 * overall:.1f} % of {len(test)} real test images right")


def _fit(
    images: Tensor, labels: Tensor, classes: int, settings: JudgeSettings, runtime: Runtime, label: str, stream: str
) -> WideResNet:
    """SGD with Nesterov momentum and a cosine schedule, as CatS-UDT trains its evaluation classifier."""
    with seeded("judge", "init", stream):
        network = _network(classes, settings).train()
        network.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.2 x as fast
        optimizer = torch.optim.SGD(
            network.parameters(), lr=settings.learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
        with progress(label, settings.steps, "steps") as advance:
            for step in range(settings.steps):
                rng = randomness("judge", stream, step)
                torch.manual_seed(rng.initial_seed())  # dropout draws from the global generator, forked above
                index = torch.randint(len(labels), (settings.batch_size,), generator=rng).to(images.device)
                x = images[index].float() / 255  # (B, 3, H, W) in [0, 1]
                if settings.augment:
                    x = _flip_and_shift(x, rng)
                if settings.tolerance > 0:
                    x = _relevel(x, settings.tolerance, rng)
                optimizer.zero_grad(set_to_none=True)
                F.cross_entropy(network(x), labels[index]).backward()
                optimizer.step()
                schedule.step()
                advance(1)
    return network.eval()


def _flip_and_shift(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each image flipped with probability 1/2 and shifted by up to an eighth of its side, borders reflected."""
    size = x.shape[-1]
    margin = size // 8
    flip = torch.rand(len(x), generator=rng) < 0.5
    x = torch.where(flip.to(x.device)[:, None, None, None], x.flip(-1), x)
    padded = F.pad(x, (margin,) * 4, mode="reflect")
    tops, lefts = torch.randint(2 * margin + 1, (2, len(x)), generator=rng).tolist()
    crops = [
        padded[i, :, t : t + size, left : left + size] for i, (t, left) in enumerate(zip(tops, lefts, strict=True))
    ]
    return torch.stack(crops)


def _relevel(x: Tensor, tolerance: float, rng: torch.Generator) -> Tensor:
    """Each image (B, 3, H, W) in [0, 1] with a black and a white level and Gaussian noise of its own, clamped.

    Black lies in [0, tolerance / 2), white in (1 - tolerance / 2, 1], the noise's deviation in [0, tolerance / 4).
    """
    black, white, deviation = (tolerance * torch.rand(3, len(x), 1, 1, 1, generator=rng)).to(x.device)
    noise = deviation / 4 * torch.randn(x.shape, generator=rng).to(x.device)
    return (black / 2 + (1 - white / 2 - black / 2) * x + noise).clamp(0, 1)
