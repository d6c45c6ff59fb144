"""Drawing and preparing of images, the ranges that models and encoders see, and the resizing before the encoders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.checks.gate.code import inputs
from bench.checks.gate.code.values import Values
from bench.core.randomness import randomness
from bench.data.types import Split, TaskData
from methods import base
from metrics.encoders import CLEAN, PYTORCH, TF1, LpipsAlexNet

ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
"""Number of a convolution in AlexNet -> outputs, inputs, kernel."""


def images_case_of_data(name: str, known: TaskData, folder: Path) -> Values:
    """Values of the subject `data of <task>`: its images drawn and prepared now, beside the stored ones."""
    values, drawn = Values(f"data of {name}"), inputs.draw_inputs(name, folder)
    values.add("classes", "exact", ", ".join(drawn.classes))
    values.add("side in pixels", "exact", drawn.size)
    for (domain, split), part in known.splits.items():
        _compare(values, f"{drawn.domains[domain]} {split}", drawn.splits[domain, split], part)
    return values


def _compare(values: Values, where: str, drawn: Split, known: Split) -> None:
    """Images are paired by content: the last bit of a pixel, which the libraries' versions decide, reorders them."""
    values.add(f"{where}: labels", "exact", " ".join(map(str, sorted(drawn.labels.tolist()))))
    named = [hashlib.sha256(image.tobytes()).hexdigest() for image in drawn.images]
    values.add(f"{where}: images not called by their content", "exact", sum(map(str.__ne__, named, drawn.ids)))
    values.add(f"{where}: in the order of content", "exact", str(list(drawn.ids) == sorted(drawn.ids)))
    if drawn.images.shape != known.images.shape:
        values.add(f"{where}: shape", "exact", str(drawn.images.shape))
        return
    worst = 0.0
    for label in np.unique(known.labels):
        old, new = (part.images[part.labels == label].astype(np.float64) for part in (known, drawn))
        apart = np.abs(old[:, None] - new[None]).mean(axis=(2, 3, 4))
        worst = max(worst, float(apart.min(axis=1).max()) if apart.size else 256.0)
    values.add(f"{where}: mean difference from the stored image, worst image", "grey levels", worst)


def images_case_of_ranges(data: TaskData) -> Values:
    """Values of the subject `image ranges`: of models, and of the images before Inception, AlexNet and DINOv2."""
    values = Values("image ranges")
    images = torch.from_numpy(np.array(data.splits[1, "test"].images))
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    x = base.to_model_range(grey)
    values.add("of black, to a model", "input", x.min())
    values.add("of white, to a model", "input", x.max())
    values.add("grey levels that do not come back from a model's range", "exact", (base.to_uint8(x) != grey).sum())
    values.add("beyond a model's range", "exact", int(base.to_uint8(torch.tensor([-9.0, 9.0])).sum()))
    domains = base.Domains((images, images))
    values.add_array("drawn images", "input", domains.sample(0, 4, randomness("gate", "sample")))
    values.add_array("gathered images", "input", domains.gather(torch.tensor([0, 1]), torch.tensor([2, 3])))
    for preparation in (TF1, PYTORCH, CLEAN):
        values.add_array(f"Inception's input, {preparation.name}", "input", preparation.from_bytes(images[:2]))
        if preparation.from_floats is not None:
            floats = preparation.from_floats(images[:2].float() / 255)
            values.add_array(f"Inception's input, {preparation.name}, from floats", "input", floats)
    return values


def images_case_of_lpips(data: TaskData, folder: Path) -> Values:
    """Values of the subject `lpips`: the encoder as it is, on an AlexNet of random weights."""
    values, rng = Values("lpips"), randomness("gate", "alexnet")
    state: dict[str, Tensor] = {}
    for number, (outputs, channels, kernel) in ALEXNET.items():
        spread = (2 / (channels * kernel * kernel)) ** 0.5
        state[f"features.{number}.weight"] = spread * torch.randn(outputs, channels, kernel, kernel, generator=rng)
        state[f"features.{number}.bias"] = torch.zeros(outputs)
    torch.save(state, folder / "alexnet.pth")
    images = np.array(data.splits[1, "test"].images[:6]).reshape(3, 2, 3, data.size, data.size)
    encoder = LpipsAlexNet(folder / "alexnet.pth")
    within, across = encoder.grouped_distances(images, np.array([[0, 1, 2]]))
    values.add_array("within sources", "features", within)
    values.add_array("across sources", "features", across)
    return values
