"""Every method and variant on a GPU that is not there, at its published settings (see tests/helpers/fake_cuda.py)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_cuda import (
    CUDA,
    PRECISIONS,
    ForwardStages,
    HostCopies,
    fake_domains,
    fake_gpu,
    fake_weights,
    forward_phases,
    on_gpu,
    precision_of,
    without_values,
)
from torch import Tensor

from bench.spec.methods import method_config_with_clusters, method_settings
from bench.spec.presets import get_preset
from bench.spec.run_spec import spec_config
from methods.base import Context, Exemplar, Noise, Progress, Style, Translator
from methods.category_tables import CategoryTables
from methods.registry import BUILT_IN, load_registered, registered

CLUSTERS = 3


def built(name: str, size: int, kind: str) -> Translator:
    """With the published settings, on the GPU, as a training begins, before `prepare`."""
    cls = load_registered(registered()[name].target)
    config = spec_config(cls, name, *method_settings(cls, name, get_preset("paper", kind), {}, "embedded"))
    constructor: Any = cls
    with without_values():
        method: Translator = constructor(method_config_with_clusters(config, CLUSTERS), size)
    return method.to(CUDA).train()


def styles(method: Translator, size: int) -> list[Style]:
    """One of each kind that the method takes, for four images."""
    kinds: dict[str, Style] = {
        "noise": Noise(torch.empty(4, max(1, method.noise_dim), device=CUDA)),
        "exemplar": Exemplar(torch.empty(4, 3, size, size, device=CUDA)),
    }
    return [kinds[kind] for kind in method.style_sources] or [None]


def check_batch(batch: Any) -> None:
    """All of it is on the GPU, pixels in float32."""
    drawn = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
    assert drawn
    for name, value in drawn.items():
        assert value.device == CUDA, name
        assert not value.is_floating_point() or value.dtype == torch.float32, name


VARIED = ("cats_udt:no_sem", "cats_udt:content_vgg", "cats_udt:moco", "cats_udt:frozen_h", "drit:feature_wise")
"""Variants whose steps take other ways than their method's; the others differ in a weight, or in what is prepared."""
CASES = [
    *((name, kind, size) for name in BUILT_IN for kind, size in (("digits", 32), ("pictures", 256))),
    *((name, "digits", 32) for name in VARIED),
]
TABLES = CategoryTables([torch.arange(12) % CLUSTERS, torch.arange(13) % CLUSTERS])


@pytest.fixture(autouse=True)
def given_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """CatS-UDT's semantic stages read values between stages (labels that are checked, the steadiest of several IMSATs)
    and count clusters: they are not run here, and which image has which cluster is given.
    """
    monkeypatch.setattr("methods.semantics.categories.Categories.learn", lambda *given: None)
    monkeypatch.setattr("methods.cats_udt.CategoryTables", lambda clusters: TABLES)
    monkeypatch.setattr(TABLES, "remarks", tuple)


@pytest.mark.parametrize(("name", "kind", "size"), CASES)
def test_a_training_is_ready_for_a_gpu(name: str, kind: str, size: int) -> None:
    """`draw`, the forward part of every phase, the average and `translate`, in float32 and under autocast.

    Not the backward passes, and no gradient penalty's own gradients: see tests/helpers/fake_cuda.py.
    """
    with fake_gpu():
        method, domains = built(name, size, kind), fake_domains(size)
        on_gpu(method)
        method.prepare(domains, Context(fake_weights, ForwardStages("float32")))
        on_gpu(method)
        for precision in PRECISIONS:
            batch = method.draw(domains, torch.Generator().manual_seed(0), Progress(1, 2))
            check_batch(batch)
            assert forward_phases(method, batch, precision) >= 1
            for style in styles(method, size):
                x = torch.empty(4, 3, size, size, device=CUDA)
                with HostCopies() as watch, precision_of(precision):
                    y = method.eval().translate(x, 0, 1, style)
                assert (y.shape, y.device) == (x.shape, CUDA)
                assert watch.seen == []
            method.train()


def test_what_waits_for_the_device_is_seen() -> None:
    with fake_gpu(), HostCopies() as watch:
        x = torch.zeros(3, device=CUDA)
        with pytest.raises(RuntimeError, match="device"):
            x + torch.zeros(3)
        for read in (lambda: x.sum().item(), lambda: x.nonzero(), lambda: bool(x.sum() > 0)):
            with pytest.raises(RuntimeError):
                read()
        assert watch.seen == []
        x.cpu()
        assert len(watch.seen) == 1
