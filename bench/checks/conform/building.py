"""The constructor, `prepare`, and what the built method says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.checks.conform.check import Unmet, check_that, conform_check
from bench.checks.conform.subject import ConformSubject
from bench.checks.method_state import state_difference
from bench.runs.request import request_tells_directions
from bench.training.train import output_spread
from methods.base import BOTH, Progress
from methods.semantics.config import LABELLED


@conform_check(
    "the constructor makes finite weights on the CPU, the same ones from the same seed",
    look="__init__", needs=("quick_settings",),
)  # fmt: skip
def building_constructor(subject: ConformSubject) -> str:
    """Build it twice: a stored method is built again before its weights are read."""
    state, again = subject.built().state_dict(), subject.built().state_dict()
    elsewhere = [name for name, value in state.items() if value.device.type != "cpu"]
    check_that(not elsewhere, f"not on the CPU: {', '.join(elsewhere)}; the harness moves the method itself")
    infinite = [name for name, value in state.items() if not bool(value.isfinite().all())]
    check_that(not infinite, f"not finite: {', '.join(infinite)}")
    check_that(not state_difference(state, again), f"built twice from one seed: {state_difference(state, again)}")
    return f"{len(state)} tensors"


@conform_check(
    "the constructor works on the meta device, where the harness asks a method for what it supports without making its "
    "weights; else it makes them, which costs time and memory",
    look="__init__", needs=("constructor",), advice=True,
)  # fmt: skip
def building_constructor_on_meta(subject: ConformSubject) -> str:
    """Build the method as a run does before anything is trained."""
    with torch.device("meta"):
        method = subject.shortest_job.build()
    return f"{sum(method.parameter_counts().values()):,} trained parameters"


@conform_check(
    "style_sources, directions, noise_dim, supervision, ema_decay and images_per_step have values that the harness "
    "understands",
    look="__init__", needs=("constructor",), sizes="first",
)  # fmt: skip
def building_declarations(subject: ConformSubject) -> str:
    """Read them from the built method: they may depend on the settings."""
    method = subject.built()
    sources = method.style_sources
    known = isinstance(sources, tuple) and set(sources) <= {"noise", "exemplar"} and len(set(sources)) == len(sources)
    check_that(known, f"style_sources is {sources!r}: a tuple of 'noise' and 'exemplar' is wanted", "style_sources")
    check_that(_are_directions(method.directions), f"directions is {method.directions!r}", "directions")
    wide = "noise" not in sources or (isinstance(method.noise_dim, int) and method.noise_dim >= 1)
    check_that(wide, f"noise_dim is {method.noise_dim!r}, and styles come from noise", "noise_dim")
    check_that(method.supervision in ("none", "weak"), f"supervision is {method.supervision!r}", "supervision")
    check_that(0 <= method.ema_decay < 1, f"ema_decay is {method.ema_decay!r}, not in [0, 1)", "ema_decay")
    images = method.images_per_step
    counted = isinstance(images, int) and not isinstance(images, bool) and images >= 1
    check_that(counted, f"images_per_step is {images!r}, not a whole number from 1 on", "images_per_step")
    return f"styles: {', '.join(sources) or 'none'}; {images} images per step"


def _are_directions(value: object) -> bool:
    """Whether it is a tuple of one or both of (0, 1) and (1, 0)."""
    return isinstance(value, tuple) and 1 <= len(value) == len(set(value)) and set(value) <= set(BOTH)


@conform_check(
    "a constructor that asks for `directions` makes a method for one of them alone, which serves it",
    look="__init__", needs=("declarations",), sizes="first",
)  # fmt: skip
def building_directions(subject: ConformSubject) -> str:
    """Tell it that the task scores one direction, train a step, and translate."""
    if not request_tells_directions(subject.candidate.cls):
        served = ", ".join(f"{source} -> {target}" for source, target in subject.built().directions)
        return f"{served}, whatever the task scores"
    served_alone = []
    for direction in BOTH:
        method = subject.trained_one_step((direction,))
        told = f"told {direction[0]} -> {direction[1]} alone"
        check_that(_are_directions(method.directions), f"{told}: directions is {method.directions!r}", "directions")
        if direction in method.directions:
            spread = output_spread(method, subject.domains(), *direction)
            check_that(spread > 0, f"{told}: different images become one and the same", "translate")
            served_alone.append(told)
    check_that(bool(served_alone), "told of either direction alone, it serves the other one", "directions")
    return "; ".join(served_alone)


@conform_check(
    "each entry of `optimizers` is named after a network and steps exactly its parameters",
    look="__init__", needs=("constructor",), sizes="first",
)  # fmt: skip
def building_optimizers(subject: ConformSubject) -> str:
    """The loop finds networks and optimisers by name."""
    method = subject.built()
    check_that(bool(method.optimizers), "`optimizers` is empty")
    for name, optimizer in method.optimizers.items():
        network = getattr(method, name, None)
        check_that(isinstance(network, nn.Module), f"there is no network called {name}")
        assert isinstance(network, nn.Module)
        stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
        expected = {id(p) for p in network.parameters()}
        check_that(bool(expected), f"{name} has no parameters")
        check_that(
            stepped == expected,
            f"the optimiser of {name} lacks {len(expected - stepped)} of its {len(expected)} parameters and has "
            f"{len(stepped - expected)} others",
        )
    return ", ".join(method.optimizers)


@conform_check(
    "learning_rates gives every optimiser, and nothing else, a finite rate >= 0, the same for the same progress",
    look="learning_rates", needs=("optimizers",), sizes="first",
)  # fmt: skip
def building_learning_rates(subject: ConformSubject) -> str:
    """Ask at the beginning, in the middle and at the end."""
    method = subject.built()
    for step in (0, 50, 99):
        rates = method.learning_rates(Progress(step, 100))
        odd = sorted(set(rates) ^ set(method.optimizers))
        check_that(
            not odd, f"at step {step} of 100 it names {sorted(rates)}, `optimizers` has {sorted(method.optimizers)}"
        )
        bad = {name: rate for name, rate in rates.items() if not (math.isfinite(rate) and rate >= 0)}
        check_that(not bad, f"at step {step} of 100: {bad}")
        check_that(
            dict(method.learning_rates(Progress(step, 100))) == dict(rates), f"asked twice at step {step}: not equal"
        )
    return f"{len(method.optimizers)} optimisers"


@conform_check(
    "each EMA copy belongs to a network, has its shapes and wants no gradients",
    look="__init__", needs=("constructor",), sizes="first",
)  # fmt: skip
def building_ema_copies(subject: ConformSubject) -> str:
    """Compare them with what `track_ema` makes."""
    method = subject.built()
    for name, copy in method.ema.items():
        live = getattr(method, name, None)
        check_that(isinstance(live, nn.Module), f"ema has {name}, and there is no such network")
        assert isinstance(live, nn.Module)
        shapes = [[tuple(value.shape) for value in part.state_dict().values()] for part in (copy, live)]
        check_that(shapes[0] == shapes[1], f"ema.{name} has other shapes than {name}")
        check_that(not any(p.requires_grad for p in copy.parameters()), f"parameters of ema.{name} want gradients")
    return ", ".join(method.ema) or "none"


@conform_check(
    "prepare ends, on the images alone, with the stages cut to 2 steps; what it was given is declared",
    look="prepare", needs=("constructor",),
)  # fmt: skip
def building_prepare(subject: ConformSubject) -> str:
    """Call it with the harness's own stages and, in place of a classifier, its stand-in."""
    asked: list[str] = []

    def weights(name: str) -> Mapping[str, Tensor]:
        asked.append(name)
        return subject.weights(name)

    try:
        method = subject.prepared(weights=weights)
    except LookupError as error:  # which is what the method got from `context.weights`
        raise Unmet(f"{type(error).__name__}: {error}") from error
    texts = isinstance(method.remarks, tuple) and all(isinstance(remark, str) for remark in method.remarks)
    check_that(texts, f"remarks is {method.remarks!r}, not a tuple of texts")
    labelled = [name for name in asked if name in LABELLED]
    check_that(
        not labelled or method.supervision == "weak",
        f"it takes {', '.join(labelled)}, trained with labels, and supervision is {method.supervision!r}, not 'weak'",
        "supervision",
    )
    return ", ".join(sorted(set(asked))) or "no weights asked for"


@conform_check(
    "load_official, if there is one, refuses a network that it does not know with a ValueError that names it",
    look="load_official", needs=("constructor",), sizes="first",
)  # fmt: skip
def building_official_checkpoints(subject: ConformSubject) -> str:
    """Offer a network of an unknown name."""
    try:
        subject.built().load_official({"no_such_network": {}})
    except NotImplementedError:
        return "none"
    except ValueError as error:
        check_that("no_such_network" in str(error), f"the ValueError says: {error}")
        return "refused"
    raise Unmet("a network called no_such_network was accepted")
