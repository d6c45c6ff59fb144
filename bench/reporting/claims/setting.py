"""In which setting a verdict was reached, and what makes it another one than the paper's."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reporting.claims.run import Judgement
from bench.reporting.paper.from_results import PUBLISHED_SOURCES
from bench.reporting.paper.notes import Options
from bench.reporting.paper.shapes import ACCURACY
from bench.spec.presets import PRESETS
from bench.spec.tasks import Task
from bench.store.query import Setting

DATA = {"embedded": "drawn data", "mnist-drawn": "drawn house numbers"}


def setting_text(setting: Setting, task: Task, others: Sequence[Setting]) -> str:
    """`quick, embedded data, 32 px`; with the version of the data where `others` are told the same without."""

    def told(of: Setting) -> str:
        parts = [of.preset, f"{of.data_kind} data", f"{of.image_size} px"]
        return ", ".join([*parts, *([of.budget] if of.budget and not _is_usual(of, task) else [])])

    same = [of for of in others if told(of) == told(setting)]
    version = f", data {setting.data_version}" if len(same) > 1 else ""
    stages = "" if setting.budget else ", semantic stages alone"
    return told(setting) + version + stages


def unlike_paper(judgement: Judgement) -> list[str]:
    """What is not as in the paper; empty if it is the paper's setting."""
    task, setting = judgement.task, judgement.setting
    assert setting is not None
    reasons = [] if all(of.claim.task == task.name for of in judgement.judged) else ["another task"]
    if setting.data_kind != "real":
        reasons.append(DATA.get(setting.data_kind, f"{setting.data_kind} data"))
    if setting.preset != "paper":
        reasons.append(f"preset {setting.preset}")
    if setting.image_size != task.sizes["paper"]:
        reasons.append(f"{setting.image_size} px")
    if setting.budget and not _is_usual(setting, task):
        reasons.append(f"budget {setting.budget}")
    return reasons or list(dict.fromkeys(_other_sources(judgement)))


def _other_sources(judgement: Judgement) -> list[str]:
    """Under the task's name, a folder of other images."""
    found = []
    for judged in judgement.judged:
        for leaf, side in judged.sides.items():
            wanted = PUBLISHED_SOURCES.get(leaf.place)
            if judged.protocol == ACCURACY[0].protocols[0] and wanted is not None:
                others = sorted({n for n, _ in side.better.images} - {wanted})
                found += [f"{n} translated images, not {wanted}" for n in others]
    return found


def options(setting: Setting, task: Task) -> Options:
    """What goes into commands, so that they measure in the same setting."""
    data = "" if setting.data_kind == "real" else f" --data {setting.data_kind}"
    budget = f"--budget {setting.budget}" if setting.budget and not _is_usual(setting, task) else ""
    return Options(f"--preset {setting.preset}{data}", budget)


def _is_usual(setting: Setting, task: Task) -> bool:
    return setting.budget == _usual(setting.preset, task)


def _usual(preset: str, task: Task) -> str:
    """The budget of a preset."""
    return f"images={PRESETS[preset][task.kind].images}" if preset in PRESETS else ""
