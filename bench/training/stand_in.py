"""The stand-in for VGG-19 where nothing may be downloaded: a small network trained with labels of other drawn classes.

VGG-19 was trained with the labels of photographs; this one with the labels of letters and objects that no task has
(bench/data/drawn/unseen_classes.py). It is trained when a method first asks for it, once for a results folder, from its
own seed, on one CPU thread: the same for every task, method and seed. Methods that use it are weakly supervised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
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
from bench.data.drawn.datasets import DRAWN_VERSION
from bench.data.drawn.unseen_classes import OTHER_CLASSES, OTHERS_VERSION, draw_unseen_classes
from bench.spec.presets import StandInSettings
from methods.parts.backbones import STAND_IN_LAYOUT, StandInVGG
from methods.parts.layers import he_init_layer, pooled_layer
from metrics.accuracy import accuracy
from metrics.encoders import encoder_identity

STAND_IN_VERSION = 1
"""Raised when a change of this file alters the network."""
EXAMINED = 256
"""Held-out images classified at once."""


def stand_in_weights(root: Path, settings: StandInSettings, runtime: Runtime) -> Mapping[str, Tensor]:
    """The state dict of `StandInVGG`: read from `root/stand_in`, or trained now.

    Of several processes that ask at once, one trains it and the others wait. Raises BenchError if what is stored is
    damaged.
    """
    folder = root / "stand_in" / _key(settings)
    with file_lock(folder / ".lock"):
        remove_leftover_files(folder)
        if not (folder / "stand_in.json").exists():
            with runtime.threads_pinned(1), torch.enable_grad():
                _train_and_store(folder, settings)
    try:
        weights = read_weights_file(folder / "weights.safetensors")
        if encoder_identity(weights) != read_json(folder / "stand_in.json")["identity"]:
            raise ValueError("the weights are not those that were stored with it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged_folder_error(folder, error) from error
    return weights


def _key(settings: StandInSettings) -> str:
    parts = [STAND_IN_VERSION, DRAWN_VERSION, OTHERS_VERSION, OTHER_CLASSES, STAND_IN_LAYOUT, asdict(settings)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _train_and_store(folder: Path, settings: StandInSettings) -> None:
    counts = (settings.train_per_class, settings.test_per_class)
    with progress("drawing other classes", sum(counts) * len(OTHER_CLASSES), "images") as advance:
        train, test = draw_unseen_classes("train", counts[0], advance), draw_unseen_classes("test", counts[1], advance)
    network, head = _fit(torch.from_numpy(train.images), torch.from_numpy(train.labels), settings)
    right = {f"{side} px": _examine(network, head, test.images, test.labels, side) for side in (32, 16)}
    payload = save({name: value.contiguous() for name, value in network.state_dict().items()})
    write_atomically(folder / "weights.safetensors", lambda file: file.write(payload))
    write_json(
        folder / "stand_in.json",
        {
            "version": STAND_IN_VERSION,
            "drawings": [DRAWN_VERSION, OTHERS_VERSION],
            "classes": list(OTHER_CLASSES),
            "settings": asdict(settings),
            "identity": encoder_identity(network.state_dict()),
            "accuracy": right,
            "test_images": len(test.labels),
        },
    )
    shares = ", ".join(f"{100 * share:.1f} % at {side}" for side, share in right.items())
    say(f"stand-in for VGG-19: of {len(test.labels)} held-out drawings of other classes right: {shares}")


def _fit(images: Tensor, labels: Tensor, settings: StandInSettings) -> tuple[StandInVGG, nn.Linear]:
    """The features and a linear classifier of their average, trained together by cross-entropy.

    Steps take turns between 32 px and 16 px, the sizes of the quick tasks: a network that has seen one size alone
    reads little at the other.
    """
    with seeded("stand-in", "init"):
        network = StandInVGG()
        network.apply(he_init_layer)  # from torch's smaller weights, 300 steps pass before anything is learned
        head = nn.Linear(network.width, len(OTHER_CLASSES))
    network.to(memory_format=torch.channels_last)  # 1.5 x as fast
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    with progress("stand-in for VGG-19", settings.steps, "steps") as advance:
        for step in range(settings.steps):
            rng = randomness("stand-in", step)
            index = torch.randint(len(labels), (settings.batch_size,), generator=rng)
            x = _shifted(images[index].float() / 255, settings.shift, rng)  # (B, 3, 32, 32) in [0, 1]
            if step % 2:
                x = F.avg_pool2d(x, 2)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(head(pooled_layer(network(x))), labels[index]).backward()
            optimizer.step()
            schedule.step()
            advance(1)
    return network, head


def _shifted(x: Tensor, margin: int, rng: torch.Generator) -> Tensor:
    """Each image of (B, C, S, S) moved by -margin to margin pixels along both axes, its border repeated."""
    count, channels, size, _ = x.shape
    padded = F.pad(x, (margin,) * 4, mode="replicate")
    rows, columns = torch.randint(2 * margin + 1, (2, count, 1), generator=rng) + torch.arange(size)
    image, channel = torch.arange(count)[:, None, None, None], torch.arange(channels)[:, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


@torch.no_grad()
def _examine(network: StandInVGG, head: nn.Linear, images: np.ndarray, labels: np.ndarray, side: int) -> float:
    """Share of `images` (uint8 (N, 3, 32, 32)), reduced to `side` pixels, that are classified rightly."""
    predicted = []
    for batch in torch.from_numpy(images).split(EXAMINED):
        x = F.avg_pool2d(batch.float() / 255, batch.shape[-1] // side)
        predicted.append(head(pooled_layer(network(x))).argmax(dim=1))
    return accuracy(torch.cat(predicted).numpy(), labels)
