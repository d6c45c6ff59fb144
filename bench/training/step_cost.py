"""The cost of a training step before it is made: counted on tensors that have shapes and no values.

The step is the harness's own `run_step`, with its backward passes, gradient penalties and optimisers, on fake tensors.
What no tensor shows is not counted: work space inside an operation, and what the libraries themselves hold.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from bench.core.randomness import randomness
from methods.base import Context, Domains, Progress, Translator, run_step
from methods.parts.backbones import BACKBONES, build_backbone

IMAGES = 16
"""Made-up images of each domain. What a step costs does not depend on their number."""
LARGEST_TIMED = 1 << 28
"""Bytes of an operation's tensors up to which it is timed by itself."""
TIMING = 2.0
"""Seconds in which the operations of a step are timed, the longest first."""


@dataclass(frozen=True)
class TensorShape:
    """A tensor without its values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return int(torch.Size(self.shape).numel()) * self.dtype.itemsize

    def tensor(self, device: torch.device) -> Tensor:
        """A tensor of ones like it."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=device).fill_(1)


@dataclass(frozen=True)
class Product:
    """A call of a convolution or matrix product (or its backward pass), with shapes in place of tensors."""

    function: Any
    arguments: Any
    """(positional, named)."""
    flops: int
    nbytes: int
    """Of all tensors that go in and come out."""

    def call(self, device: torch.device) -> Callable[[], Any]:
        """The same call on tensors of ones."""
        positional, named = self.arguments
        args, kwargs = _thawed(positional, device), {name: _thawed(value, device) for name, value in named}
        return lambda: self.function(*args, **kwargs)


@dataclass(frozen=True)
class StepCost:
    """What one training step takes."""

    flops: int
    """Floating-point operations of convolutions and matrix products, backward passes included."""
    parameters: int
    """Trained parameters, EMA copies not counted."""
    peak_bytes: int
    """Most that all tensors hold at once while a step is made, the training images not counted."""
    images: int
    """Source images per domain that it consumes."""
    products: Mapping[Product, int]
    """Product -> how often it is computed."""
    others: int
    """Calls of all other operations, views apart."""
    other_bytes: int
    """Of the tensors that go into these and come out."""


def count_step(build: Callable[[], Translator], image_size: int, bf16: bool = False) -> StepCost:
    """The cost of a step of the method that `build` constructs; `bf16`: under autocast.

    Raises what the method raises where it needs values that made-up images do not have.
    """
    with torch.device("meta"):
        method = build()
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    _without_values(method, mode)
    domains = made_up_domains(image_size)
    method.train()
    method.prepare_to_count(domains, Context(random_weights, untrained_stage()))
    _without_values(method, mode)
    batch = method.draw(domains, randomness("count"), Progress(1, 1_000))
    autocast = (lambda: torch.autocast("cpu", torch.bfloat16)) if bf16 else nullcontext
    with mode, _Watch() as watch:
        batch = _fake_batch(batch, mode)
        watch.hold([*method.parameters(), *method.buffers()])
        fill_optimizers(method)
        watch.start()
        run_step(method, batch, autocast)
    return StepCost(
        flops=watch.flops, parameters=sum(method.parameter_counts().values()), peak_bytes=watch.peak,
        images=method.images_per_step, products=dict(watch.products), others=watch.others,
        other_bytes=watch.other_bytes,
    )  # fmt: skip


def made_up_domains(image_size: int, images: int = IMAGES, device: str = "cpu") -> Domains:
    """Two domains of `images` random images each."""
    rng = randomness("made-up images")
    shape = (images, 3, image_size, image_size)
    first, second = (torch.randint(256, shape, generator=rng, dtype=torch.uint8).to(device) for _ in range(2))
    return Domains((first, second))


def random_weights(name: str) -> Mapping[str, Tensor]:
    """`Context.weights`: a network of that name, at random. Raises LookupError for a name that none has."""
    for backbone, (_, weights) in BACKBONES.items():
        if weights == name:
            return build_backbone(backbone).state_dict()
    raise LookupError(f"no weights called '{name}'")


def untrained_stage(device: str = "cpu") -> Any:
    """`Context.run_stage`: the stage as it is before its first step."""

    def run(build: Callable[[], Any], attempt: int = 0) -> Any:
        return build().to(device).eval()

    return run


def fill_optimizers(method: Translator) -> None:
    """Bring `method` to where a step leaves it: optimisers with their state, gradients in place, weights unchanged."""
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["weight_decay"], kept = 0.0, group["weight_decay"]
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
            group["weight_decay"] = kept


def _without_values(method: Translator, mode: FakeTensorMode) -> None:
    """Exchange all weights and buffers for fake ones on the CPU, in the optimisers, too."""
    fakes: dict[int, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in fakes:
            with mode:
                fakes[id(tensor)] = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
            if isinstance(tensor, nn.Parameter):
                fakes[id(tensor)] = nn.Parameter(fakes[id(tensor)], tensor.requires_grad)
        return fakes[id(tensor)]

    for module in method.modules():
        tensors: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for held in tensors:
            held.update({name: fake(tensor) for name, tensor in held.items() if tensor is not None})
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["params"] = [fake(parameter) for parameter in group["params"]]


def _fake_batch(batch: Any, mode: FakeTensorMode) -> Any:
    if not is_dataclass(batch) or isinstance(batch, type):
        return tree_map_only(Tensor, mode.from_tensor, batch)
    values = {part.name: getattr(batch, part.name) for part in fields(batch)}
    return replace(batch, **tree_map_only(Tensor, mode.from_tensor, values))


class _Watch(TorchDispatchMode):
    """Counts operations, and the bytes of all tensors that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()
        self.flops = self.live = self.peak = self.others = self.other_bytes = 0
        self._held: dict[int, int] = {}

    def start(self) -> None:
        """Forget what was counted; what is held stays."""
        self.products.clear()
        self.flops, self.peak = 0, self.live
        self.others = self.other_bytes = 0

    def hold(self, tensors: Iterable[Any]) -> None:
        """Count every tensor's memory once, until it is freed."""
        for tensor in (value for value in tensors if isinstance(value, Tensor)):
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self._held:
                self._held[key] = size
                self.live += size
                weakref.finalize(storage, self._freed, key).atexit = False
        self.peak = max(self.peak, self.live)

    def _freed(self, key: int) -> None:
        self.live -= self._held.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.is_view:
            return result
        given, made = tree_leaves((args, kwargs)), tree_leaves(result)
        self.hold([*given, *made])
        nbytes = sum(leaf.nbytes for leaf in (*given, *made) if isinstance(leaf, Tensor))
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            self.others += 1
            self.other_bytes += nbytes
            return result
        flops = formula(*args, **kwargs, out_val=result)
        self.flops += flops
        self.peak = max(self.peak, self.live + nbytes)  # libraries copy what they multiply into layouts of their own
        self.products[Product(func, _frozen((args, kwargs)), flops, nbytes)] += 1
        return result


def _frozen(value: Any) -> Any:
    """`value` with shapes in place of tensors and tuples in place of lists and dictionaries, to be a key."""
    if isinstance(value, Tensor):
        return TensorShape(tuple(value.shape), value.stride(), value.dtype)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    return value


def _thawed(value: Any, device: torch.device) -> Any:
    """The inverse of `_frozen`, but for values; what was a list is a tuple."""
    if isinstance(value, TensorShape):
        return value.tensor(device)
    return tuple(_thawed(item, device) for item in value) if isinstance(value, tuple) else value


# ------------------------------------------------------------------------------------------------------- its seconds


@dataclass
class StepTimer:
    """Seconds of steps on one device, from their own products: each shape is timed once."""

    device: torch.device
    seconds: dict[Product, float] = field(default_factory=dict)
    """Product -> seconds of one call, of those that were timed."""

    def step_seconds(self, cost: StepCost) -> float:
        """Seconds of the step: products as timed, all else by its bytes and by its number of calls.

        Products for which there is no time within `TIMING` seconds, or no memory, are taken to be computed at the rate
        of the others.
        """
        deadline = time.perf_counter() + TIMING
        per_byte, per_call = self._memory_and_calls()
        largest_first = sorted(cost.products, key=lambda product: -product.flops * cost.products[product])
        for product in largest_first:
            if time.perf_counter() > deadline:
                break
            if product not in self.seconds and product.nbytes <= LARGEST_TIMED:
                self.seconds[product] = self._best(product.call(self.device))
        timed = [product for product in cost.products if product in self.seconds]
        flops = sum(product.flops * cost.products[product] for product in timed)
        seconds = sum(self.seconds[product] * cost.products[product] for product in timed)
        products = seconds * cost.flops / flops if flops else 0.0
        calls = cost.others + sum(cost.products.values())
        return products + per_byte * cost.other_bytes + per_call * calls

    def _memory_and_calls(self) -> tuple[float, float]:
        """(seconds a byte, seconds a call) of operations that compute little."""
        large, small = torch.ones(1 << 21, device=self.device), torch.ones(8, device=self.device, requires_grad=True)
        per_byte = self._best(lambda: large + 1.0) / (2 * large.nbytes)

        def chain() -> None:
            x = small
            for _ in range(32):
                x = torch.nn.functional.leaky_relu(x)
            x.sum().backward()

        return per_byte, self._best(chain) / 66  # forward and backward: two calls each, and those of the sum

    def _best(self, call: Callable[[], Any]) -> float:
        """The shorter of two calls: the first also chooses an algorithm."""
        seconds = []
        for _ in range(2):
            self._wait()
            start = time.perf_counter()
            call()
            self._wait()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
