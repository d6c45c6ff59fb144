"""A setting in words, why its results cannot be compared with the paper, and the commands that measure in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.spec.data_kinds import REAL, data_kind_note
from bench.spec.presets import PRESETS
from bench.spec.tasks import Task
from bench.store.columns import GIVEN
from bench.store.query import Setting

PUBLISHED_SOURCES = {"mnist->svhn": 10_000, "svhn->mnist": 26_032, "sketch->real": 75}
"""Direction -> test images of the published data: a folder of other images under a task's name has other numbers."""
ANY_BUDGET = ""
"""Budget of a setting in which nothing was trained, or in which the length of training makes no difference."""
SEEDS = "0,1,2"
"""Seeds of the commands that measure something new."""
DRAWN = {"embedded": "drawn data", "mnist-drawn": "drawn house numbers"}
"""Kinds of data that `--data` names -> in words."""
FOLDER = "FOLDER"
"""What stands in a command for the folder of data that nothing else names."""
DATA_WARNING = {
    "embedded": "drawn by code, not real images: not comparable with the paper or with any other data",
    "mnist-drawn": "real MNIST against drawn house numbers: not comparable with the paper",
    "real": "real images",
}
PRESET_WARNING = {
    "quick": "small networks, short training: not comparable with the paper",
    "small": "a quarter of the published widths, short training: not comparable with the paper",
    "paper": "published settings",
}
GIVEN_WARNING = "given checkpoints or images, scored and not trained here: their training data and length are not known"


def usual_setting_budget(preset: str, task: Task) -> str:
    """The budget of a preset: `images=9600`; empty for an unknown one."""
    return f"images={PRESETS[preset][task.kind].images}" if preset in PRESETS else ""


def other_setting_budget(setting: Setting, task: Task) -> str:
    """The budget of `setting` if it is not the preset's own; else empty."""
    return "" if setting.budget in (ANY_BUDGET, usual_setting_budget(setting.preset, task)) else setting.budget


def setting_text(setting: Setting, task: Task, sizes: Iterable[int] = ()) -> str:
    """`quick, embedded data, 32 px`, with the budget if it is not the preset's. `sizes`: those of several tasks."""
    pixels = " and ".join(map(str, sorted({*sizes, setting.image_size})))
    text = f"{setting.preset}, {setting_data_text(setting.data_kind)}, {pixels} px"
    budget = other_setting_budget(setting, task)
    return f"{text}, {setting_budget_text(budget)}" if budget else text


def setting_budget_text(budget: str) -> str:
    """`images=100`, or `given checkpoints`."""
    return "given checkpoints" if budget == GIVEN else budget


def setting_title(task: str, setting: Setting) -> str:
    """`mnist2svhn: embedded data at 32 px, preset quick`."""
    return f"{task}: {setting_data_text(setting.data_kind)} at {setting.image_size} px, preset {setting.preset}"


def setting_data_text(kind: str) -> str:
    """`embedded data`, or `real data (SVHN: 8,000 / 2,000 images, not the published files)`."""
    other = data_kind_note(kind)
    return f"{REAL} data ({other})" if other else f"{kind} data"


def setting_data_warning(kind: str) -> str:
    """What data of this kind is, and what its results cannot be compared with."""
    other = data_kind_note(kind)
    return f"real images; {other}: not comparable with the paper" if other else DATA_WARNING.get(kind, "not comparable")


def setting_data_option(kind: str) -> str:
    """`--data` that takes data of this kind; empty: the task's own files."""
    return FOLDER if data_kind_note(kind) else "" if kind == REAL else kind


def distinct_setting_texts(texts: Sequence[str], versions: Sequence[str]) -> list[str]:
    """`texts` of settings, with the versions of their data where several have the same text."""
    return [
        f"{text}, data {version}" if texts.count(text) > 1 else text
        for text, version in zip(texts, versions, strict=True)
    ]


def setting_unlike_paper(setting: Setting, task: Task, paper_task: str) -> list[str]:
    """What in `setting` is not as in the paper; empty if results of `task` in it can be compared with those of the
    `paper_task`, as far as the setting says."""
    reasons = [] if task.name == paper_task else [f"task {task.name}"]
    if setting.data_kind != REAL:
        reasons.append(DRAWN.get(setting.data_kind) or data_kind_note(setting.data_kind) or f"{setting.data_kind} data")
    if setting.preset != "paper":
        reasons.append(f"preset {setting.preset}")
    if setting.image_size != task.sizes["paper"]:
        reasons.append(f"{setting.image_size} px")
    if budget := other_setting_budget(setting, task):
        reasons.append(setting_budget_text(budget) if budget == GIVEN else f"budget {budget}")
    return reasons


# ------------------------------------------------------------------------------------------------------- commands


def setting_command(name: str, /, *words: str, **options: object) -> str:
    """`python -m bench NAME WORDS --option value ...`, quoted for a shell.

    Options without a value are left out; one with a list of values is repeated.
    """
    typed = ["python", "-m", "bench", name, *words]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            typed += [f"--{option}", str(one)] if one not in (None, "") else []
    return shlex.join(typed)


@dataclass(frozen=True)
class Commands:
    """The commands that measure what is missing, in one setting."""

    preset: str = "paper"
    data: str = ""
    """`--data`; empty: the task's own files."""
    budget: str = ""
    """`--budget` of trainings; empty: the preset's."""

    def run(self, task: str, methods: Sequence[str], settings: Sequence[str] = ()) -> str:
        """Train and score `methods`, with `settings` (`method.key=value`)."""
        return setting_command(
            "run", task=task, preset=self.preset, data=self.data, budget=self.budget, methods=",".join(methods),
            set=list(settings), seeds=SEEDS,
        )  # fmt: skip

    def semantics(self, task: str, stage: str) -> str:
        """Train and measure a semantic `stage`."""
        return setting_command("semantics", task=task, preset=self.preset, data=self.data, stage=stage, seeds=SEEDS)

    def evaluate(self, task: str, methods: Sequence[str]) -> str:
        """Score what was trained."""
        return setting_command("evaluate", task=task, preset=self.preset, data=self.data, methods=",".join(methods))


def commands_in_setting(setting: Setting, task: Task) -> Commands:
    """The commands that measure in `setting`."""
    return Commands(setting.preset, setting_data_option(setting.data_kind), other_setting_budget(setting, task))
