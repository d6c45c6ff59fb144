"""The contract between a translation method and the harness.

A method is a `Translator`. The harness calls, in this order: the constructor, `prepare` once, then for every step
`draw` and `training_step` (through `run_step`), and at the end `translate`. A method sees images only: labels and
files are not reachable from here. `python -m bench conform package.module:Class` checks whether a class keeps to it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

StyleSource = Literal["noise", "exemplar"]
Direction = tuple[int, int]
"""(source, target), the numbers of two domains."""
BOTH: tuple[Direction, ...] = ((0, 1), (1, 0))
S = TypeVar("S", bound="Stage")


# ------------------------------------------------------------------------------------------------ what goes in


@dataclass(frozen=True)
class Noise:
    """Style from a random vector."""

    z: Tensor
    """(B, noise_dim), standard normal."""


@dataclass(frozen=True)
class Exemplar:
    """Style of a given image of the target domain."""

    image: Tensor
    """(B, 3, H, W) in [-1, 1]."""


@dataclass(frozen=True)
class Code:
    """Style as the method's own code, for interpolation."""

    s: Tensor
    """(B, style_dim)."""


Style = Noise | Exemplar | Code | None


@dataclass(frozen=True)
class Progress:
    """Position of a training."""

    step: int
    """Iterations done before this one."""
    total: int
    """Iterations of the whole training."""

    @property
    def fraction(self) -> float:
        """Share of the training done before this step, in [0, 1)."""
        return self.step / self.total


class Domains:
    """Both domains' training images, unlabelled, on the training device."""

    def __init__(self, images: tuple[Tensor, Tensor]) -> None:
        """`images`: per domain uint8 (N, 3, H, W), ordered by content hash."""
        for domain, stack in enumerate(images):
            if stack.dtype != torch.uint8 or stack.ndim != 4 or stack.shape[1] != 3 or len(stack) == 0:
                raise ValueError(f"domain {domain}: uint8 (N, 3, H, W) wanted, got {stack.dtype} {tuple(stack.shape)}")
        self.images = images

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of training images of each domain."""
        return len(self.images[0]), len(self.images[1])

    @property
    def device(self) -> torch.device:
        """Device of the images."""
        return self.images[0].device

    def sample(self, domain: int, count: int, rng: torch.Generator) -> Tensor:
        """`count` images of `domain`, uniform with replacement: (count, 3, H, W) float32 in [-1, 1]."""
        index = torch.randint(self.sizes[domain], (count,), generator=rng)
        return to_model_range(self.images[domain][index.to(self.device)])

    def gather(self, domain: Tensor, row: Tensor) -> Tensor:
        """Image `row[i]` of domain `domain[i]`: int64 (B,) on the CPU each -> (B, 3, H, W) float32 in [-1, 1]."""
        # Each row is taken of both domains, in the wrong one the first: shapes do not depend on what is drawn.
        both = [images[torch.where(domain == d, row, 0).to(self.device)] for d, images in enumerate(self.images)]
        return to_model_range(torch.where((domain == 1).to(self.device)[:, None, None, None], both[1], both[0]))


def to_model_range(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 [-1, 1]. The one place where data enters a model's range."""
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """float [-1, 1] (clamped) -> uint8 0..255, rounded to nearest. The one place where it leaves it."""
    return images.float().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().to(torch.uint8)


@dataclass(frozen=True)
class Context:
    """Services that the harness offers to `prepare`."""

    weights: Callable[[str], Mapping[str, Tensor]]
    """Name of a pretrained network -> its state dict. Raises LookupError if it is not to be had."""
    run_stage: StageRunner
    """Brings a semantic stage to its end: trained now, resumed, or as stored by an earlier cell."""


class StageRunner(Protocol):
    """Runs the stage that `build` makes and returns it, in eval mode, on the device of its images.

    Each `attempt` at the same stage starts from weights of its own and draws numbers of its own.
    """

    def __call__(self, build: Callable[[], S], attempt: int = 0) -> S: ...


# ---------------------------------------------------------------------------------------------- what comes out


@dataclass(frozen=True)
class Phase:
    """One optimiser step inside a training iteration."""

    trains: tuple[str, ...]
    """Names of the networks (attributes of the method) that are stepped; no other weight gets a gradient."""
    losses: Mapping[str, Tensor]
    """Name -> 0-d, already weighted; their sum is back-propagated, each is logged."""
    clip_norm: float | None = None
    """Upper limit of the gradient norm over `trains`; None: not clipped."""


class Translator(nn.Module):
    """A method: its networks, its optimisers and what it can do.

    Networks are attributes (plain `nn.Module`s), and `optimizers` maps the name of each trained one to its optimiser.
    All state lives in `state_dict()` (networks, EMA copies, buffers such as image pools) and in `optimizers`.

    The constructor is called with (config, image_size), and if it has a parameter of that name with `directions=` those
    that the task scores. It is also called on the meta device, to ask what the method supports, if it works there.
    """

    Config: ClassVar[type]
    """Frozen dataclass of settings; the defaults are the published ones."""
    version: ClassVar[int] = 1
    """Version of the method, raised when a change alters results; part of a run's identity."""
    supervision: Literal["none", "weak"] = "none"
    """`weak`: uses a network trained on labels; tables mark it *. May depend on the settings."""
    style_sources: ClassVar[tuple[StyleSource, ...]] = ()
    """Kinds of style that `translate` accepts, the default first; () = deterministic."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Config values of the `quick` preset, for methods outside this project (ours are in bench/spec/presets.py)."""

    directions: tuple[Direction, ...] = BOTH
    """Those that `translate` serves; set by the constructor where they depend on what it is told."""
    noise_dim: int = 0
    """Width of `Noise.z`."""
    ema_decay: float = 0.999
    """Decay of the exponential moving average of the networks in `ema`."""
    batch_rows: ClassVar[tuple[str, ...]] = ()
    """Fields of the Batch with one row per item, if a step can be divided over devices: every loss is a mean over items
    and no item's outputs depend on another one. Empty: it cannot be divided."""
    indivisible: ClassVar[str] = "it does not say which inputs of a step have one row per item (`batch_rows`)"
    """Reason, where `batch_rows` is empty."""
    remarks: tuple[str, ...] = ()
    """Set by `prepare`: what a reader of the results should know. `{0}` and `{1}` stand for the domains' names."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, Optimizer] = {}
        self.ema = nn.ModuleDict()

    # ------------------------------------------------------------------------------------------------ training

    @property
    def images_per_step(self) -> int:
        """Source images per domain that one iteration consumes: what `budget images=N` counts."""
        raise NotImplementedError

    def prepare(self, domains: Domains, context: Context) -> None:
        """Optional unsupervised stages before training. Default: none."""

    def prepare_to_count(self, domains: Domains, context: Context) -> None:
        """What `draw` and a step need of `prepare`, for made-up images: the cost of a step is then counted.

        The weights hold no values here. `context` gives random weights, and stages as they are before their first step.
        Default: `prepare`.
        """
        self.prepare(domains, context)

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Any:
        """Every input of one iteration as the method's own frozen Batch of tensors; the only place that draws."""
        raise NotImplementedError

    def training_step(self, batch: Any) -> Iterator[Phase]:
        """The algorithm, in the paper's order: yields a phase, resumes after its networks were stepped.

        A function of the listed state and `batch`; draws nothing; its control flow depends on the config only.
        Nothing is yielded inside a context manager, and no tensor made before a `yield` is back-propagated through
        weights updated since.
        """
        raise NotImplementedError

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """Network name -> learning rate of this step, for every optimiser."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------------- inference

    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """`x` (B, 3, H, W) in [-1, 1] of domain `source` -> (B, 3, H, W) of domain `target`, clamped to [-1, 1].

        Called in eval mode. Uses the EMA networks where the method has them. Changes no state; row i depends on row i
        alone.
        """
        raise NotImplementedError

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Load the original implementation's checkpoint: its network name -> its state dict, by its own keys.

        Raises ValueError naming the keys that are missing, unexpected or of another shape.
        """
        raise NotImplementedError

    @property
    def clustered_domain(self) -> int | None:
        """Domain whose images decide what a category is; None: the method has no discrete categories."""
        return None

    def clusters_of(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) of either domain -> category int64 (N,), of methods with a `clustered_domain`."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------------- for all methods

    def track_ema(self, *names: str) -> None:
        """Keep an EMA copy of each named network in `self.ema`, starting as an exact copy of it."""
        for name in names:
            self.ema[name] = copy.deepcopy(getattr(self, name)).requires_grad_(False)

    @torch.no_grad()
    def update_ema(self) -> None:
        """ema <- decay * ema + (1 - decay) * live, for parameters; buffers are copied."""
        for name, average in self.ema.items():
            live = getattr(self, name)
            torch._foreach_lerp_(list(average.parameters()), list(live.parameters()), 1.0 - self.ema_decay)
            for kept, current in zip(average.buffers(), live.buffers(), strict=True):
                kept.copy_(current)

    def parameter_counts(self) -> dict[str, int]:
        """Trained network's name -> number of parameters; EMA copies and frozen networks are not counted."""
        return {name: sum(p.numel() for p in getattr(self, name).parameters()) for name in self.optimizers}

    def check_divisible(self, parts: int) -> None:
        """Raise ValueError if the gradients of `parts` equal parts of a batch have not those of the batch as mean."""
        if not self.batch_rows:
            raise ValueError(self.indivisible)
        batch_size = getattr(getattr(self, "config", None), "batch_size", parts)
        if batch_size % parts:
            raise ValueError(f"batch_size {batch_size} is not a multiple of {parts}")

    def check_style(self, style: Style) -> None:
        """Raise TypeError if `style` is of a kind that this method did not declare."""
        kinds: dict[type, str] = {Noise: "noise", Exemplar: "exemplar"}
        given = kinds.get(type(style))
        accepted = (style is None) == (not self.style_sources)
        if not accepted or (given is not None and given not in self.style_sources):
            raise TypeError(f"{type(self).__name__} takes style {self.style_sources or 'None'}, got {style!r:.60}")


class Stage(nn.Module):
    """One unsupervised stage: networks and results (buffers), their optimisers, and what one step does.

    A stage is a training (or a computation) that ends before the translator's training begins. It sees images, and
    what earlier stages made of them; labels are not reachable from here. Its runner calls `training_step` through
    `run_step` for every step and then `finish` once. All that it leaves behind is its `state_dict`.

    What it is trained on (images, features, cluster labels) are plain attributes and no part of `state_dict`.
    """

    name: ClassVar[str]
    """Short name, as in `--stage name` and in folder names."""
    version: ClassVar[int] = 1
    """Version of the stage, raised when a change alters results; part of a stored stage's identity."""

    steps: int = 0
    """Training iterations; 0: everything happens in `finish`."""
    attempt: int = 0
    """Which of several attempts at the same stage this is; whoever runs it says so, and derives its numbers from it."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, Optimizer] = {}

    def identity(self) -> dict[str, Any]:
        """JSON values that decide the result, the task's training images and the seed apart.

        The settings, which domain is used, and the `digest` of each tensor that came from an earlier stage.
        """
        raise NotImplementedError

    def training_step(self, batch: torch.Generator) -> Iterator[Phase]:
        """One iteration, in the order of the algorithm: yields a phase, resumes after its networks were stepped.

        `batch` is a CPU generator that belongs to this step: minibatches, augmentation and the like are drawn from it.
        Dropout and other layers that draw by themselves use torch's global generator, which the runner has seeded for
        this step. Nothing is yielded inside a context manager.
        """
        raise NotImplementedError

    def update_ema(self) -> None:
        """Called once after every step, for averaged networks. Default: none."""

    def finish(self) -> None:
        """Called once after the last step, in eval mode, without gradients: computes results into buffers."""


def digest(tensor: Tensor) -> str:
    """sha256 (hex) over dtype, shape and bytes of `tensor`: the name of an earlier stage's result."""
    values = tensor.detach().cpu().contiguous().reshape(-1)  # a view of bytes needs a dimension
    head = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return hashlib.sha256(head + values.view(torch.uint8).numpy().tobytes()).hexdigest()


class Trainable(Protocol):
    """Interface that `run_step` needs: a Translator, or a stage of `methods.semantics`."""

    optimizers: dict[str, Optimizer]

    def training_step(self, batch: Any) -> Iterator[Phase]: ...

    def update_ema(self) -> None: ...


def run_step(
    method: Trainable,
    batch: Any,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    average: Callable[[list[Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """One training iteration: every phase's backward and optimiser step, then the EMA.

    `batch` is what `training_step` takes: a Translator's Batch, or a semantic stage's generator. `average` replaces
    tensors by their means over the processes that train together: the gradients and losses of each phase.

    Returns `<phase index>:<networks>.<loss name>` (`0:discriminator.real`) -> detached 0-d tensor, still on the device
    (no synchronisation here), and `... .grad_norm` where a phase clips.
    """
    logged: dict[str, Tensor] = {}
    phases = method.training_step(batch)
    for index in range(1_000):  # a bound, not a setting: a generator that never ends is a defect
        with autocast():
            phase = next(phases, None)
        if phase is None:
            break
        parameters = [p for name in phase.trains for p in getattr(method, name).parameters()]
        for parameter in parameters:
            parameter.grad = None
        torch.stack([loss.float() for loss in phase.losses.values()]).sum().backward(inputs=parameters)
        losses = {name: loss.detach() for name, loss in phase.losses.items()}
        if average is not None:
            losses = {name: loss.clone() for name, loss in losses.items()}
            average([p.grad for p in parameters if p.grad is not None] + list(losses.values()))
        prefix = f"{index}:{'+'.join(phase.trains)}"
        if phase.clip_norm is not None:
            logged[f"{prefix}.grad_norm"] = nn.utils.clip_grad_norm_(parameters, phase.clip_norm)
        for name in phase.trains:
            method.optimizers[name].step()
        logged.update({f"{prefix}.{name}": loss for name, loss in losses.items()})
    method.update_ema()
    return logged


def run_stage(stage: Stage, seed: int) -> None:
    """Bring `stage` to its end in this process, storing nothing: for tests and notebooks. The harness has its own."""
    stage.train()
    with torch.random.fork_rng():
        for step in range(stage.steps):
            rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
            torch.manual_seed(rng.initial_seed())
            run_step(stage, rng)
    stage.eval()
    with torch.no_grad():
        stage.finish()
