"""Checks of every method: its settings, and the official checkpoints that it loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


def require(owner: str, rules: Mapping[str, bool]) -> None:
    """Raise ValueError naming each rule (the text says the valid range) that does not hold."""
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ValueError(f"{owner} needs " + "; ".join(broken))


def is_power_of_two(number: int) -> bool:
    """Whether `number` is 1, 2, 4, ..."""
    return number > 0 and number & (number - 1) == 0


def without_prefix(state: Mapping[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """`state` with `prefix` (what DataParallel adds) removed from the keys that have it."""
    return {key.removeprefix(prefix): value for key, value in state.items()}


def _mismatches(name: str, network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """One line per way in which `state` does not fit `network`."""
    expected = network.state_dict()
    lines = []
    if missing := sorted(expected.keys() - state.keys()):
        lines.append(f"{name}: missing {', '.join(missing)}")
    if unexpected := sorted(state.keys() - expected.keys()):
        lines.append(f"{name}: unexpected {', '.join(unexpected)}")
    for key in sorted(expected.keys() & state.keys()):
        if expected[key].shape != state[key].shape:
            lines.append(f"{name}: {key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}")
    return lines


def load_checked(targets: Mapping[str, Sequence[nn.Module]], states: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Load `states[name]` into every network of `targets[name]`; `states` may name a part of the targets.

    All or nothing: raises ValueError, with nothing loaded, for an unknown name, no name at all, and keys that are
    missing, unexpected or of another shape (all are named).
    """
    problems = [f"unknown network '{name}'" for name in states if name not in targets]
    if not states:
        problems.append("no network given")
    for name in states.keys() & targets.keys():
        problems += _mismatches(name, targets[name][0], states[name])
    if problems:
        raise ValueError(f"official checkpoint (networks: {', '.join(targets)}):\n  " + "\n  ".join(sorted(problems)))
    for name, state in states.items():
        for network in targets[name]:
            network.load_state_dict(state)
