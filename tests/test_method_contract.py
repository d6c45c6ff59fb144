"""What every built-in method must do, whatever it is: the contract of methods/base.py, checked on small networks."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch
from determined import domains, fill, numbers
from torch import Tensor

from methods.backbones import StandInVGG
from methods.base import Code, Context, Exemplar, Noise, Progress, Style, Translator, run_step
from methods.registry import BUILT_IN, load
from methods.semantics.adaptation import AdaptationConfig
from methods.semantics.categories import SemanticsConfig
from methods.semantics.imsat import IMSATConfig
from methods.semantics.stage import run_stage

SIZE = 32
SMALL: dict[str, dict[str, Any]] = {
    "cyclegan": {
        "width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_layers": 2, "pool_size": 3, "batch_size": 2,
    },
    "stargan_v2": {
        "max_width": 8, "base_width": 4, "content_size": 8, "bottleneck_blocks": 1, "style_dim": 8, "mapping_width": 8,
        "batch_size": 4,
    },
    "munit": {
        "width": 4, "blocks": 1, "mlp_width": 8, "discriminator_width": 4, "discriminator_layers": 2,
        "discriminator_scales": 2, "batch_size": 2, "lambda_cycle": 10.0,
    },
    "cats_udt": {
        "max_width": 8, "base_width": 4, "content_size": 8, "bottleneck_blocks": 1, "style_dim": 8, "mapping_width": 8,
        "batch_size": 4, "clusters": 2,
        "semantics": SemanticsConfig(
            imsat=IMSATConfig(width=4, critic_width=4, steps=2, batch_size=4),
            adaptation=AdaptationConfig(width=4, discriminator_width=4, steps=2, batch_size=4),
        ),
    },
    "drit": {"width": 4, "discriminator_scales": 2, "content_discriminator": "small", "batch_size": 2},
    "egsc_it": {
        "width": 4, "discriminator_width": 4, "perceptual": "stand_in", "batch_size": 2, "generator_updates": 2,
        "autoencoder_steps": 2,
    },
}  # fmt: skip
"""Settings for these tests, for each built-in method (a new one must be added here)."""

every_method = pytest.mark.parametrize("name", list(BUILT_IN))


def build(name: str, seed: int = 0) -> Translator:
    torch.manual_seed(seed)
    kind = load(BUILT_IN[name].target)
    method = kind(kind.Config(**SMALL[name]), SIZE)  # type: ignore[call-arg]
    method.prepare(domains(SIZE), Context(_weights, _run))
    return method


def _run(build: Any, attempt: int = 0) -> Any:
    """A semantic stage, trained in this process."""
    torch.manual_seed(0)
    stage = build()
    run_stage(stage, seed=0)
    return stage


def _weights(name: str) -> Any:
    """Determined weights of the stand-in for a classifier; no other network is to be had."""
    if name != "stand_in":
        raise LookupError(name)
    return fill(StandInVGG()).state_dict()


def steps(method: Translator, first: int, last: int, total: int = 6) -> list[dict[str, Tensor]]:
    """Training steps as the loop makes them: everything drawn follows from the step's number."""
    stores = domains(SIZE)
    logged = []
    for step in range(first, last):
        progress = Progress(step, total)
        for network, rate in method.learning_rates(progress).items():
            for group in method.optimizers[network].param_groups:
                group["lr"] = rate
        logged.append(run_step(method, method.draw(stores, torch.Generator().manual_seed(step), progress)))
    return logged


def state(method: Translator) -> dict[str, Any]:
    """All state, copied."""
    optimizers = {name: optimizer.state_dict() for name, optimizer in method.optimizers.items()}
    return copy.deepcopy({"method": method.state_dict(), "optimizers": optimizers})


def same(a: Any, b: Any) -> bool:
    """Equality of nested containers, bit by bit for tensors."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def styles(method: Translator, count: int, dtype: torch.dtype = torch.float32) -> list[Style]:
    """One style of each kind that the method declares."""
    kinds: dict[str, Style] = {
        "noise": Noise(numbers(3, count, max(1, method.noise_dim), dtype=dtype)),
        "exemplar": Exemplar(numbers(4, count, 3, SIZE, SIZE, dtype=dtype)),
    }
    return [kinds[kind] for kind in method.style_sources] or [None]


def rows(style: Style, chosen: slice) -> Style:
    """The style of some rows."""
    if isinstance(style, Noise):
        return Noise(style.z[chosen])
    return Exemplar(style.image[chosen]) if isinstance(style, Exemplar) else style


def test_every_built_in_method_has_small_settings_here() -> None:
    assert set(SMALL) == set(BUILT_IN)


@every_method
def test_config_is_frozen_and_documented(name: str) -> None:
    kind = load(BUILT_IN[name].target)
    config = kind.Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, 1)
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(kind.Config))
    body = tree.body[0].body  # type: ignore[attr-defined]
    fields = [index for index, node in enumerate(body) if isinstance(node, ast.AnnAssign)]
    documented = [index for index in fields if isinstance(body[index + 1], ast.Expr)]
    assert documented == fields


@every_method
def test_optimizers_learning_rates_and_networks_agree(name: str) -> None:
    method = build(name)
    assert method.optimizers
    for step in range(3):
        assert set(method.learning_rates(Progress(step, 3))) == set(method.optimizers)
    for network, optimizer in method.optimizers.items():
        theirs = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert theirs == {id(p) for p in getattr(method, network).parameters()}
    assert set(method.optimizers) == {key for key, count in method.parameter_counts().items() if count}


@every_method
def test_images_per_step_are_drawn(name: str) -> None:
    """The sources of a batch, over both domains, are twice that number."""
    method = build(name)
    assert method.images_per_step >= 1
    drawn = method.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 2))
    images = [value for value in vars(drawn).values() if isinstance(value, Tensor) and value.ndim == 4]
    assert sum(len(value) for value in images) >= 2 * method.images_per_step


@every_method
def test_batch_is_frozen_and_holds_tensors_only(name: str) -> None:
    drawn = build(name).draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        drawn.anything = 1
    assert all(isinstance(value, Tensor) for value in vars(drawn).values())
    for value in vars(drawn).values():
        if value.ndim == 4:
            assert value.shape[1:] == (3, SIZE, SIZE)
            assert value.dtype == torch.float32
            assert value.min() >= -1
            assert value.max() <= 1


@every_method
def test_draw_depends_on_the_generator_alone_and_changes_no_state(name: str) -> None:
    method, stores = build(name), domains(SIZE)
    before = state(method)
    first, again, other = (
        method.draw(stores, torch.Generator().manual_seed(seed), Progress(1, 9)) for seed in (5, 5, 6)
    )
    assert same(vars(first), vars(again))
    assert not same(vars(first), vars(other))
    assert same(before, state(method))


@every_method
def test_a_step_draws_nothing_and_is_deterministic(name: str) -> None:
    logged, states = [], []
    for seed in (1, 2):
        method = build(name)
        torch.manual_seed(seed)  # if a step drew from the global generator, the two would differ
        logged.append(steps(method, 0, 2))
        states.append(state(method))
    assert same(logged[0], logged[1])
    assert same(states[0], states[1])


@every_method
def test_every_network_is_trained_by_one_step(name: str) -> None:
    """And the losses are finite scalars."""
    method = build(name)
    before = state(method)["method"]
    (logged,) = steps(method, 0, 1)
    assert all(value.ndim == 0 and torch.isfinite(value) and not value.requires_grad for value in logged.values())
    after = method.state_dict()
    for network in (*method.optimizers, *(f"ema.{key}" for key in method.ema)):
        keys = [key for key in after if key.startswith(f"{network}.")]
        assert keys
        assert any(not torch.equal(before[key], after[key]) for key in keys)


@every_method
def test_phases_name_networks_with_optimisers_and_scalar_losses(name: str) -> None:
    method = build(name)
    drawn = method.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 2))
    phases = list(method.training_step(drawn))
    assert {network for phase in phases for network in phase.trains} == set(method.optimizers)
    for phase in phases:
        assert all(loss.ndim == 0 and loss.requires_grad for loss in phase.losses.values())
        assert all(loss.dtype == torch.float32 for loss in phase.losses.values())
    assert torch.is_grad_enabled()


@every_method
def test_saved_and_restored_equals_uninterrupted(name: str) -> None:
    """3 steps, everything through a file into a new object, 3 more steps; against 6 steps: the same bytes."""
    whole = build(name)
    steps(whole, 0, 6)
    first = build(name)
    steps(first, 0, 3)
    saved = state(first)
    resumed = build(name, seed=99)
    resumed.load_state_dict(saved["method"])
    for network, optimizer in resumed.optimizers.items():
        optimizer.load_state_dict(saved["optimizers"][network])
    steps(resumed, 3, 6)
    assert same(state(whole), state(resumed))


@every_method
def test_translate_is_bounded_and_changes_no_state(name: str) -> None:
    method = build(name)
    steps(method, 0, 1)
    before, x = state(method), numbers(1, 3, 3, SIZE, SIZE, dtype=torch.float32)
    given = x.clone()
    for style in styles(method, 3):
        for source, target in ((0, 1), (1, 0)):
            y = method.translate(x, source, target, style)
            assert y.shape == x.shape
            assert y.dtype == torch.float32
            assert not y.requires_grad
            assert y.abs().max() <= 1
            assert torch.equal(y, method.translate(x, source, target, style))
    assert torch.equal(x, given)
    assert same(before, state(method))


@every_method
def test_translate_differs_by_direction_and_by_style(name: str) -> None:
    method = build(name)
    x = numbers(1, 2, 3, SIZE, SIZE, dtype=torch.float32)
    for style in styles(method, 2):
        forth, back = method.translate(x, 0, 1, style), method.translate(x, 1, 0, style)
        assert not torch.equal(forth, back)
        if style is not None:
            other = Noise(-style.z) if isinstance(style, Noise) else Exemplar(-style.image)  # type: ignore[union-attr]
            assert not torch.equal(forth, method.translate(x, 0, 1, other))


@every_method
@pytest.mark.parametrize("count", [1, 7])
def test_rows_are_translated_independently(name: str, count: int) -> None:
    """Alone, among 7, and among 12. In float64, where the kernels of other batch sizes differ by 1e-14 at most layers
    (in float32 by up to 1e-5 in the end), so that a leak between rows cannot hide in the tolerance.
    """
    method = build(name).double()
    x = numbers(1, 12, 3, SIZE, SIZE)
    for style in styles(method, 12, torch.float64):
        together = method.translate(x, 0, 1, style)
        for start in range(0, 12, count):
            part = slice(start, start + count)
            alone = method.translate(x[part], 0, 1, rows(style, part))
            torch.testing.assert_close(alone, together[part], rtol=0, atol=1e-10)


@every_method
def test_undeclared_styles_are_refused(name: str) -> None:
    method = build(name)
    x = numbers(1, 1, 3, SIZE, SIZE, dtype=torch.float32)
    kinds: dict[str, Style] = {"noise": Noise(torch.zeros(1, 16)), "exemplar": Exemplar(x)}
    refused = [style for kind, style in kinds.items() if kind not in method.style_sources]
    refused += [None] if method.style_sources else [Code(torch.zeros(1, 8))]
    for style in refused:
        with pytest.raises(TypeError, match="takes style"):
            method.translate(x, 0, 1, style)


@every_method
def test_official_checkpoints_with_unknown_networks_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no_such_network"):
        build(name).load_official({"no_such_network": {}})


@every_method
def test_mixed_precision_runs(name: str) -> None:
    """bfloat16 autocast: finite losses, and weights that stay float32."""
    method = build(name)
    drawn = method.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 2))
    logged = run_step(method, drawn, lambda: torch.autocast("cpu", torch.bfloat16))
    assert all(torch.isfinite(value) and value.dtype == torch.float32 for value in logged.values())
    assert all(value.dtype in (torch.float32, torch.int64) for value in method.state_dict().values())


def test_methods_reach_neither_labels_nor_the_harness() -> None:
    """`Domains` has images alone, and importing every method loads nothing of bench, metrics or torchvision."""
    assert {key for key in vars(domains(SIZE)) if not key.startswith("_")} == {"images"}
    targets = [entry.target for entry in BUILT_IN.values()]
    code = (
        "import sys; from methods.registry import load\n"
        f"for target in {targets!r}: load(target)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'bench', 'metrics', 'torchvision', 'PIL'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
