"""What our own methods keep beyond the contract that `bench conform` checks for everybody
(tests/checks/test_conform.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from determined import domains, numbers
from torch import Tensor

from bench.checks.conform.subject import ConformSubject
from bench.checks.tiny_run import CandidateMethod
from methods.base import Exemplar, Noise, Progress, Style, Translator, run_step
from methods.registry import BUILT_IN

SIZE = 32
every_method = pytest.mark.parametrize("name", list(BUILT_IN))


def subject(name: str, folder: Path) -> ConformSubject:
    return ConformSubject(CandidateMethod(name, BUILT_IN[name].target, tiny.settings(name)), SIZE, folder)


def styles(method: Translator, count: int) -> list[Style]:
    """One style of each kind that the method declares, in float64."""
    kinds: dict[str, Style] = {
        "noise": Noise(numbers(3, count, max(1, method.noise_dim))),
        "exemplar": Exemplar(numbers(4, count, 3, SIZE, SIZE)),
    }
    return [kinds[kind] for kind in method.style_sources] or [None]


def rows(style: Style, chosen: slice) -> Style:
    if isinstance(style, Noise):
        return Noise(style.z[chosen])
    return Exemplar(style.image[chosen]) if isinstance(style, Exemplar) else style


@every_method
def test_rows_are_translated_independently_in_float64(name: str, tmp_path: Path) -> None:
    """Alone, among 7, and among 12, to 1e-10: in float32 a leak between rows could hide among differences of 1e-5."""
    method = subject(name, tmp_path).prepared().double().eval()
    x = numbers(1, 12, 3, SIZE, SIZE)
    for style in styles(method, 12):
        together = method.translate(x, 0, 1, style)
        for part in (slice(0, 1), slice(11, 12), slice(0, 7)):
            alone = method.translate(x[part], 0, 1, rows(style, part))
            torch.testing.assert_close(alone, together[part], rtol=0, atol=1e-10)


@every_method
def test_batches_hold_whole_images_and_losses_are_float32_under_autocast(name: str, tmp_path: Path) -> None:
    """Others may draw patches and compute a loss in bfloat16; ours do neither."""
    run = subject(name, tmp_path)
    method = run.prepared()
    drawn = method.draw(run.domains(), torch.Generator().manual_seed(0), Progress(0, 2))
    images = [value for value in vars(drawn).values() if isinstance(value, Tensor) and value.ndim == 4]
    assert images
    for value in images:
        assert value.shape[1:] == (3, SIZE, SIZE)
        assert value.dtype == torch.float32
        assert value.abs().max() <= 1
    logged = run_step(method, drawn, lambda: torch.autocast("cpu", torch.bfloat16))
    assert all(value.dtype == torch.float32 for value in logged.values())
    assert all(value.dtype in (torch.float32, torch.int64) for value in method.state_dict().values())


@every_method
def test_every_trained_network_is_an_optimizers(name: str, tmp_path: Path) -> None:
    method = subject(name, tmp_path).prepared()
    trainable = {key for key, child in method.named_children() if any(p.requires_grad for p in child.parameters())}
    assert trainable == set(method.optimizers)


def test_methods_reach_neither_labels_nor_the_harness() -> None:
    """`Domains` has images alone, and importing every method loads nothing of bench, metrics or torchvision."""
    assert {key for key in vars(domains(SIZE)) if not key.startswith("_")} == {"images"}
    targets = [entry.target for entry in BUILT_IN.values()]
    code = (
        "import sys; from methods.registry import load_registered\n"
        f"for target in {targets!r}: load_registered(target)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'bench', 'metrics', 'torchvision', 'PIL'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
