"""Checks that the same seed gives the same bytes: again, whatever the global random state, and after a resume."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bench.checks.conform.check import check_that, conform_check
from bench.checks.conform.subject import ConformSubject
from bench.checks.method_state import RANDOM, state_attributes, state_difference
from bench.checks.tiny_run import STEPS, TinyTraining
from methods.parts.global_draws import global_draws


def compare_resumed(subject: ConformSubject, training: TinyTraining) -> str:
    """Difference of `training`, finished, from the reference in state or losses, in words; empty if there is none."""
    training.advance(STEPS)
    reference = subject.trained
    losses = reference.logged[-len(training.logged) :]
    return state_difference({"losses": losses, **reference.state()}, {"losses": training.logged, **training.state()})


@conform_check(
    f"{STEPS} steps made twice from the same seed give the same losses, weights and optimisers, byte for byte",
    look="training_step", needs=("training", "draw_follows_its_generator"), sizes="first",
)  # fmt: skip
def resuming_deterministic(subject: ConformSubject) -> str:
    """Train twice, with the global random generators in the same state as well."""
    differing = compare_resumed(subject, TinyTraining(subject))
    check_that(not differing, differing)
    return "equal"


@conform_check(
    "nothing depends on the global random generators of torch, numpy and Python: numbers come from draw's generator",
    look="training_step", needs=("deterministic",), sizes="first",
)  # fmt: skip
def resuming_global_random_numbers(subject: ConformSubject) -> str:
    """Repeat the reference with other global seeds. An earlier check shows that `draw` follows its own generator."""
    with global_draws(1):
        differing = compare_resumed(subject, TinyTraining(subject))
    check_that(not differing, f"with other global seeds, {differing}")
    return "equal with other global seeds"


@conform_check(
    "every optimiser is in `optimizers`, and no scheduler or random generator is kept: no checkpoint holds them",
    look="__init__", needs=("training",), sizes="first",
)  # fmt: skip
def resuming_optimizers_in_the_state(subject: ConformSubject) -> str:
    """Search everything that the trained method holds."""
    method = subject.trained.method
    known = {id(optimizer) for optimizer in method.optimizers.values()}
    moved = subject.trained.changed_outside_the_state()
    for path, value in state_attributes(method):
        check_that(not isinstance(value, Optimizer) or id(value) in known, f"{path} is an optimiser of its own")
        check_that(not isinstance(value, LRScheduler), f"{path} is a scheduler: say the rates in learning_rates")
        check_that(not (isinstance(value, RANDOM) and path in moved), f"{path} is a random generator, and was used")
    return f"{len(known)} optimisers"


@conform_check(
    f"{STEPS // 2} steps, a checkpoint, a new object and {STEPS - STEPS // 2} more steps equal {STEPS} steps, byte for "
    "byte",
    look="training_step", needs=("global_random_numbers", "optimizers_in_the_state"), sizes="first",
)  # fmt: skip
def resuming_resume(subject: ConformSubject) -> str:
    """Resume through the harness's own checkpoints, into an object with other first weights.

    All state must be in state_dict() (networks, buffers) and `optimizers`.
    """
    reference = subject.trained
    training = TinyTraining(subject, seed=1)
    training.restore(subject.cell.checkpoints)
    differing = compare_resumed(subject, training)
    suspects = reference.changed_outside_the_state()
    hint = f"; changed while training and in no state: {', '.join(suspects[:5])}" if suspects else ""
    check_that(not differing, differing + hint)
    return "equal"
