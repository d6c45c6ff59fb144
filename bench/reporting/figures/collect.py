"""Which stored cells a figure shows: all of one setting, and for each of its places those of one method and config."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError
from bench.spec.presets import PRESETS, get_preset
from bench.spec.run_spec import flat_values
from bench.spec.tasks import TASKS, get_task
from bench.store import query as pools
from bench.store.columns import GIVEN
from bench.store.query import frame

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.types import TaskData

STUDIED = (
    "lambda_sem", "lambda_sty", "lambda_cyc", "lambda_ds", "conditioning", "categories", "semantic_loss",
    "content_size", "downsamplings",
)  # fmt: skip
"""What the paper's figures vary. A cell in which one of these is neither the preset's nor the figure's is of another
figure; where it differs in any other setting, the figure says so."""
DEFAULT_RESULTS = Path("results")
FILLED_IN = ("clusters", "weights")
"""Parts of a stored config that no preset sets."""
_UNLIKE_DATA = {"embedded": "drawn data", "mnist-drawn": "drawn house numbers"}


@dataclass(frozen=True)
class FigureRequest:
    """What the user asked for, as typed."""

    name: str
    """`1a`, ..., `12`."""
    results: Path
    """The results folder."""
    task: str
    """Task name."""
    preset: str = "quick"
    """Cells of this preset."""
    data: str = "auto"
    """As for `run`; `auto`: what the stored cells have, if that is one kind."""
    domains: str = ""
    """As for `run`."""
    budget: str = ""
    """`images=N` or `seconds=S`: only cells of this one; empty: there must be one alone."""

    def options(self, *names: str) -> str:
        """Those of `names` (`preset`, `data`, ...) that are not the default, as on the command line."""
        defaults = {"preset": "quick", "data": "auto", "domains": "", "budget": "", "results": DEFAULT_RESULTS}
        given = [(name, getattr(self, name)) for name in names if getattr(self, name) != defaults[name]]
        return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in given)

    @property
    def anywhere(self) -> FigureRequest:
        """Without this machine's folders: for what is written into a picture."""
        known = self.data in ("auto", "embedded", "mnist-drawn")
        return replace(self, results=DEFAULT_RESULTS, data=self.data if known else "FOLDER")


Load = Callable[[str], "TaskData"]
"""Kind of data -> the task's data of that kind that is there now."""
Settings = Callable[[str, int], Mapping[str, Any]]
"""(preset, image size) -> settings over the method's (flat keys)."""


def no_settings(preset: str, image_size: int) -> Mapping[str, Any]:
    """The method as it is."""
    return {}


@dataclass(frozen=True)
class Slot:
    """One place of a figure: a bar, a point, a block of images."""

    label: str
    """As it stands in the figure."""
    methods: tuple[str, ...]
    """`name[:variant]`, that of the paper first, then what may stand in for it (the figure says so)."""
    settings: Settings = no_settings


@dataclass(frozen=True)
class Setting:
    """What all cells of a figure have in common."""

    task: str
    data_kind: str
    data_version: str
    image_size: int
    preset: str
    budget: str
    """Empty where nothing was trained."""

    @property
    def told(self) -> str:
        """One line."""
        budget = f", budget {self.budget}" if self.budget else ""
        return (
            f"{self.task}: {self.data_kind} data at {self.image_size} px (version {self.data_version}), "
            f"preset {self.preset}{budget}"
        )

    def unlike(self, paper_task: str) -> str:
        """Why nothing of it is comparable with the paper; empty if it is the paper's setting."""
        task, known = TASKS[self.task], self.preset in PRESETS
        reasons = [f"task {self.task}"] if self.task != paper_task else []
        if self.data_kind != "real":
            reasons.append(_UNLIKE_DATA.get(self.data_kind, f"{self.data_kind} data"))
        if self.preset != "paper":
            reasons.append(f"{self.preset} preset")
        if self.preset == "paper" and self.image_size != task.sizes["paper"]:
            reasons.append(f"{self.image_size} px")
        if self.budget == GIVEN:
            reasons.append("checkpoints trained elsewhere")
        elif known and self.budget not in ("", f"images={get_preset(self.preset, task.kind).images}"):
            reasons.append(f"budget {self.budget}")
        return f"{', '.join(reasons)}: not comparable with the paper" if reasons else ""


@dataclass(frozen=True)
class Found:
    """The cells of one slot."""

    slot: Slot
    method: str
    """Which of the slot's methods they are of."""
    rows: pd.DataFrame
    """Theirs of `bench.store.query.frame`: one config, all seeds."""
    notes: tuple[str, ...] = ()
    """What the figure must say of them."""

    @property
    def label(self) -> str:
        """With an asterisk for weak supervision."""
        return self.slot.label + ("*" if (self.rows["supervision"] == "weak").any() else "")

    @property
    def seeds(self) -> int:
        """Cells that were begun."""
        return int(self.rows["identity"].nunique())


@dataclass(frozen=True)
class Collected:
    """All cells of a figure."""

    setting: Setting
    slots: tuple[Slot, ...]
    found: tuple[Found | None, ...]
    """One per slot; None where no cell was begun."""

    @property
    def notes(self) -> list[str]:
        """What must be said of them: asterisks, stand-ins, other settings, failures."""
        there = [found for found in self.found if found is not None]
        notes = [note for found in there for note in found.notes]
        weak = [found for found in there if (found.rows["supervision"] == "weak").any()]
        if weak:
            given = [found.label for found in weak if found.rows["stand_in"].any()]
            which = f" (for {', '.join(given)} a small one, trained on other drawn classes)" if given else ""
            notes.append(f"* weakly supervised: uses a network trained on labels{which}")
        return notes + [note for found in there for note in failures(found)]


def failures(found: Found) -> list[str]:
    """One line per seed whose training failed."""
    failed = found.rows[found.rows["state"] == "failed"].drop_duplicates("identity")
    return [f"{found.slot.label}, seed {row.seed}: failed: {row.reason}" for row in failed.itertuples()]


# ------------------------------------------------------------------------------------------------- what is missing


@dataclass(frozen=True)
class Remedy:
    """The commands that make what is missing."""

    typed: tuple[str, ...]
    """To be typed here."""
    printed: tuple[str, ...]
    """For the picture: without this machine's folders."""

    def __str__(self) -> str:
        return "; ".join(self.typed)


def remedy_of(request: FigureRequest, paper_task: str, sweep: str, slots: Sequence[Slot]) -> Remedy:
    """What makes the cells of `slots`: the shipped sweep, or on another task `run`, once for each set of settings."""
    return Remedy(*(tuple(_commands(one, paper_task, sweep, slots)) for one in (request, request.anywhere)))


def _commands(request: FigureRequest, paper_task: str, sweep: str, slots: Iterable[Slot]) -> list[str]:
    if request.task == paper_task:
        return [f"python -m bench sweep {sweep}" + request.options("preset", "data", "budget", "results")]
    size = get_task(request.task).sizes[request.preset]
    by_settings: dict[str, list[str]] = {}
    for slot in slots:
        method = slot.methods[0]
        given = "".join(f" --set {method}.{key}={value}" for key, value in slot.settings(request.preset, size).items())
        by_settings.setdefault(given, []).append(method)
    options = " --seeds 0,1,2" + request.options("preset", "data", "domains", "budget", "results")
    return [
        f"python -m bench run --task {request.task} --methods {','.join(dict.fromkeys(methods))}{given}{options}"
        for given, methods in by_settings.items()
    ]


def _nothing(request: FigureRequest, rows: pd.DataFrame, remedy: Remedy) -> BenchError:
    """The error of a figure of which nothing is there; `rows`: what is stored of its methods under any setting."""
    asked = f"preset {request.preset}, data {request.data}" + (f", budget {request.budget}" if request.budget else "")
    what = f"figure {request.name}: no cell of {request.task} ({asked}) with its settings in {request.results}"
    if len(rows):
        others = rows[["preset", "data_kind", "budget"]].drop_duplicates().itertuples()
        what += "; stored: " + "; ".join(f"preset {o.preset}, {o.data_kind} data, budget {o.budget}" for o in others)
    return BenchError(what, str(remedy))


# ------------------------------------------------------------------------------------------------------- collecting


def collect(request: FigureRequest, slots: Sequence[Slot], remedy: Remedy, load: Load) -> Collected:
    """The cells of every slot. Of several versions of the data, that which is there now is taken.

    Raises BenchError if there is no cell at all, with `remedy`; if cells of several settings are left, and if a method
    was run with several configs of which none is the preset's.
    """
    every = frame(request.results, request.task)
    if len(every):
        every = every[every["method"].isin([name for slot in slots for name in slot.methods])]
    rows = _of_request(every, request, load) if len(every) else every
    if rows.empty:
        raise _nothing(request, every, remedy)
    setting = _only_setting(rows, request)
    found = tuple(_of_slot(slot, rows, setting) for slot in slots)
    if not any(found):
        raise _nothing(request, every, remedy)
    return Collected(setting, tuple(slots), found)


def _of_request(rows: pd.DataFrame, request: FigureRequest, load: Load) -> pd.DataFrame:
    """The cells of the preset, budget, kind and version of data that was asked for."""
    from bench.data.load import data_kind

    rows = rows[rows["preset"] == request.preset]
    if request.budget:
        rows = rows[rows["budget"] == request.budget]
    elif (rows["budget"] != GIVEN).any():
        rows = rows[rows["budget"] != GIVEN]
    if request.data != "auto" or rows["data_kind"].nunique() > 1:
        rows = rows[rows["data_kind"] == data_kind(get_task(request.task), request.data)]
    if rows["data_version"].nunique() > 1:
        rows = rows[rows["data_version"] == load(str(rows["data_kind"].iloc[0])).version]
    return rows


def _only_setting(rows: pd.DataFrame, request: FigureRequest) -> Setting:
    settings = [
        Setting(request.task, **{str(key): value for key, value in row._asdict().items()})
        for row in rows[list(pools.Setting._fields)].drop_duplicates().itertuples(index=False)
    ]
    if len(settings) > 1:
        told = "\n    ".join(setting.told for setting in settings)
        raise BenchError(
            f"figure {request.name}: cells of several settings must not share a figure:\n    {told}",
            f"choose one: --budget {settings[0].budget}, --data, --preset, or another --results folder",
        )
    return settings[0]


def _of_slot(slot: Slot, rows: pd.DataFrame, setting: Setting) -> Found | None:
    """The cells of the first of the slot's methods that has a finished one; else of the first that has any."""
    candidates = [_of_method(slot, name, rows[rows["method"] == name], setting) for name in slot.methods]
    begun = [found for found in candidates if found is not None]
    done = [found for found in begun if (found.rows["state"] == "done").any()]
    return next(iter(done or begun), None)


def _of_method(slot: Slot, method: str, rows: pd.DataFrame, setting: Setting) -> Found | None:
    if rows.empty:
        return None
    wanted = preset_config(method, setting, slot.settings(setting.preset, setting.image_size))
    differing = {text: _differences(text, wanted) for text in rows["config"].unique()}
    # A difference in what another figure varies makes a cell that figure's, not this slot's.
    own = {text: found for text, found in differing.items() if not set(found) & set(STUDIED)}
    exact = [text for text, found in own.items() if not found]
    if not own:
        return None
    if len(exact or own) > 1:
        told = "; ".join(_told(found) for found in own.values())
        raise BenchError(
            f"{method} was run with several settings, and not one alone is the preset's: {told}",
            "choose a results folder that holds one of them, or run the preset's",
        )
    text = exact[0] if exact else next(iter(own))
    notes = [f"{slot.label}: {_told(own[text])}"] if own[text] else []
    if method != slot.methods[0]:
        notes.append(f"{slot.label}: {method} stands in for {slot.methods[0]}, which the paper's authors ran")
    return Found(slot, method, rows[rows["config"] == text], tuple(notes))


def preset_config(method: str, setting: Setting, over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Flat config of `method`, with its version, as a run of `setting` would have it now, and `over` laid over it."""
    from bench.spec.methods import layers
    from bench.spec.run_spec import resolve_config
    from methods.registry import load, registered

    cls = load(registered()[method].target)
    preset = get_preset(setting.preset, TASKS[setting.task].kind)
    given = {method: {key: str(value) for key, value in (over or {}).items()}}
    config = resolve_config(cls, method, *layers(cls, method, preset, given, setting.data_kind))
    return {**flat_values(config), "method_version": cls.version}


def _differences(config: str, wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key -> (stored, wanted) where they are not equal; a key that one of them lacks is None there."""
    stored = flat_values(json.loads(config))
    keys = [key for key in dict.fromkeys([*wanted, *stored]) if key not in FILLED_IN]
    both = {key: (stored.get(key), wanted.get(key)) for key in keys}
    return {key: pair for key, pair in both.items() if json.dumps(pair[0]) != json.dumps(pair[1])}


def _told(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """At most three of them, in words."""
    shown = [f"{key}={stored} (the preset's: {wanted})" for key, (stored, wanted) in list(differences.items())[:3]]
    more = len(differences) - len(shown)
    return ", ".join(shown) + (f" and {more} more settings" if more else "")
