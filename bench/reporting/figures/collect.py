"""Which stored cells a figure shows: all of one setting, and for each of its places those of one method and config."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError
from bench.reporting.setting import DRAWN, SEEDS, setting_command, setting_title, setting_unlike_paper
from bench.spec.tasks import get_task
from bench.store.columns import GIVEN
from bench.store.index import read_index
from bench.store.preset_match import Mismatch, PresetMethod, preset_methods, preset_mismatch
from bench.store.query import MethodRow, Setting, SettingRecords, query_settings

if TYPE_CHECKING:
    from bench.data.types import TaskData

STUDIED = (
    "lambda_sem", "lambda_sty", "lambda_cyc", "lambda_ds", "conditioning", "categories", "semantic_loss",
    "content_size", "downsamplings",
)  # fmt: skip
"""What the paper's figures vary. A cell in which one of these is neither the preset's nor the figure's is of another
figure; where it differs in any other setting, the figure says so."""
DEFAULT_RESULTS = Path("results")


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
    val: str = ""
    """As for `run`."""
    methods: tuple[str, ...] = ()
    """Stored methods in place of the paper's, outside ones and given images too; empty: the paper's."""

    def options(self, *names: str) -> dict[str, object]:
        """The options among `names` (`preset`, `data`, ...) that are not the default, for a command."""
        defaults: dict[str, object] = {"preset": "quick", "data": "auto", "domains": "", "val": "", "budget": ""}
        defaults["results"] = DEFAULT_RESULTS
        return {name: getattr(self, name) for name in names if getattr(self, name) != defaults[name]}

    @property
    def anywhere(self) -> FigureRequest:
        """The request without this machine's folders: for what is written into a picture."""
        known = self.data in ("auto", *DRAWN)
        return replace(self, results=DEFAULT_RESULTS, data=self.data if known else "FOLDER")


Load = Callable[[str], "TaskData"]
"""Kind of data -> the task's data of that kind that is there now."""
Settings = Callable[[str, int], Mapping[str, Any]]
"""(preset, image size) -> settings over the method's (flat keys)."""


def collect_without_settings(preset: str, image_size: int) -> Mapping[str, Any]:
    """The method as it is."""
    return {}


@dataclass(frozen=True)
class FigureSlot:
    """One place of a figure: a bar, a point, a block of images."""

    label: str
    """Name in the figure."""
    methods: tuple[str, ...]
    """`name[:variant]`, that of the paper first, then what may stand in for it (the figure says so)."""
    settings: Settings = collect_without_settings


def collected_title(task: str, setting: Setting) -> str:
    """The setting of a figure in a line; without a budget where nothing was trained."""
    budget = f", budget {setting.budget}" if setting.budget else ""
    return f"{setting_title(task, setting)}, data version {setting.data_version}{budget}"


def collected_warning(task: str, setting: Setting, paper_task: str) -> str:
    """Why nothing of a figure is comparable with the paper; empty if it is the paper's setting."""
    reasons = setting_unlike_paper(setting, get_task(task), paper_task)
    return f"{', '.join(reasons)}: not comparable with the paper" if reasons else ""


@dataclass(frozen=True)
class SlotCells:
    """The cells of one slot: one method with one config, all seeds."""

    slot: FigureSlot
    records: SettingRecords
    row: MethodRow
    notes: tuple[str, ...] = ()
    """What the figure must say of them."""

    @property
    def method(self) -> str:
        """Which of the slot's methods they are cells of."""
        return self.row.method

    @property
    def weak(self) -> bool:
        """Whether a cell is weakly supervised."""
        return self.records.any_weak(self.row)

    @property
    def label(self) -> str:
        """The slot's, with an asterisk for weak supervision."""
        return self.slot.label + ("*" if self.weak else "")

    @property
    def seeds(self) -> int:
        """Number of cells that were begun."""
        return len(self.row.cells)

    @property
    def states(self) -> list[str]:
        """The states of the cells, each once."""
        return list(dict.fromkeys(self.records.text("state", cell) for cell in self.row.cells))

    @property
    def failures(self) -> list[str]:
        """One line per seed whose training failed."""
        failed = (cell for cell in self.row.cells if self.records.text("state", cell) == "failed")
        lines = {self.records.seed(cell): self.records.text("reason", cell) for cell in failed}
        return [f"{self.slot.label}, seed {seed}: failed: {reason}" for seed, reason in lines.items()]


@dataclass(frozen=True)
class CollectedCells:
    """All cells of a figure."""

    task: str
    folder: Path
    """Folder of the task's cells."""
    setting: Setting
    slots: tuple[FigureSlot, ...]
    found: tuple[SlotCells | None, ...]
    """One per slot; None where no cell was begun."""
    same: tuple[SettingRecords, ...] = ()
    """Everything of the setting, and what was given on its data."""

    @property
    def notes(self) -> list[str]:
        """What must be said of them: asterisks, stand-ins, other settings, failures."""
        there = [cells for cells in self.found if cells is not None]
        notes = [note for cells in there for note in cells.notes]
        weak = [cells for cells in there if cells.weak]
        if weak:
            given = [cells.label for cells in weak if cells.records.any_stand_in(cells.row)]
            which = f" (for {', '.join(given)} a small one, trained on other drawn classes)" if given else ""
            notes.append(f"* weakly supervised: uses a network trained on labels{which}")
        return [*notes, *(line for cells in there for line in cells.failures), *self.left_out]

    @property
    def left_out(self) -> list[str]:
        """Which methods of the same setting the figure does not show, and how it would."""
        there = [cells for cells in self.found if cells is not None]
        shown = {cells.method.partition(":")[0] for cells in there}  # a variant is no other method
        rows = [row for records in self.same for row in records.rows]
        others = dict.fromkeys(row.method for row in rows if row.method.partition(":")[0] not in shown)
        return [f"Stored, and not in this figure: {', '.join(others)} (--methods shows any)."] if others else []


# ------------------------------------------------------------------------------------------------- what is missing


@dataclass(frozen=True)
class FigureRemedy:
    """The commands that make what is missing."""

    typed: tuple[str, ...]
    """Commands to type here."""
    printed: tuple[str, ...]
    """Commands for the picture: without this machine's folders."""

    def __str__(self) -> str:
        return "; ".join(self.typed)


def collected_remedy(request: FigureRequest, paper_task: str, sweep: str, slots: Sequence[FigureSlot]) -> FigureRemedy:
    """What makes the cells of `slots`: the shipped sweep, or on another task `run`, once for each set of settings."""
    return FigureRemedy(*(tuple(_commands(one, paper_task, sweep, slots)) for one in (request, request.anywhere)))


def _commands(request: FigureRequest, paper_task: str, sweep: str, slots: Iterable[FigureSlot]) -> list[str]:
    if request.task == paper_task:
        return [setting_command("sweep", sweep, **request.options("preset", "data", "budget", "results"))]
    size = get_task(request.task).sizes[request.preset]
    by_settings: dict[tuple[str, ...], list[str]] = {}
    for slot in slots:
        method = slot.methods[0]
        settings = tuple(f"{method}.{key}={value}" for key, value in slot.settings(request.preset, size).items())
        by_settings.setdefault(settings, []).append(method)
    return [
        setting_command(
            "run", task=request.task, methods=",".join(dict.fromkeys(methods)), set=list(settings), seeds=SEEDS,
            **request.options("preset", "data", "domains", "val", "budget", "results"),
        )
        for settings, methods in by_settings.items()
    ]  # fmt: skip


def _nothing(request: FigureRequest, stored: Iterable[SettingRecords], remedy: FigureRemedy) -> BenchError:
    """The error of a figure of which nothing is there; `stored`: its methods' cells in any setting."""
    asked = f"preset {request.preset}, data {request.data}" + (f", budget {request.budget}" if request.budget else "")
    what = f"figure {request.name}: no cell of {request.task} ({asked}) with its settings in {request.results}"
    settings = [records.setting for records in stored]
    others = dict.fromkeys(f"preset {s.preset}, {s.data_kind} data, budget {s.budget}" for s in settings)
    return BenchError(what + (f"; stored: {'; '.join(others)}" if others else ""), str(remedy))


# ------------------------------------------------------------------------------------------------------- collecting


def collect_figure_cells(
    request: FigureRequest, slots: Sequence[FigureSlot], remedy: FigureRemedy, load: Load
) -> CollectedCells:
    """The cells of every slot. Of several versions of the data, that which is there now is taken.

    Raises BenchError if there is no cell at all, with `remedy`; if cells of several settings are left, and if a method
    was run with several configs of which none is the preset's.
    """
    methods = list(dict.fromkeys(name for slot in slots for name in slot.methods))
    every = query_settings(read_index(request.results, request.task))
    stored = [records for records in every if any(row.method in methods for row in records.rows)]
    chosen = _of_request(stored, request, load)
    if not chosen:
        raise _nothing(request, stored, remedy)
    records = _only_setting(chosen, request)
    setting = records.setting
    asked = [name for name in methods if name not in request.methods or _is_known(name)]
    presets = preset_methods(request.results, get_task(request.task), setting.preset, setting.data_kind, asked)
    given = _given(every, setting)
    found = tuple(
        _of_slot(slot, records, presets) or (_of_given(slot, given) if request.methods and given else None)
        for slot in slots
    )
    if not any(found):
        raise _nothing(request, stored, remedy)
    same = tuple(filter(None, (records, given)))
    return CollectedCells(request.task, request.results / "runs" / request.task, setting, tuple(slots), found, same)


def _of_request(stored: Sequence[SettingRecords], request: FigureRequest, load: Load) -> list[SettingRecords]:
    """The cells of the preset, budget, kind and version of data that was asked for."""
    from bench.data.load import data_kind_of_choice

    chosen = [records for records in stored if records.setting.preset == request.preset]
    trained = any(records.setting.budget != GIVEN for records in chosen)
    if request.budget:
        chosen = [records for records in chosen if records.setting.budget == request.budget]
    elif trained:
        chosen = [records for records in chosen if records.setting.budget != GIVEN]
    if request.data != "auto" or len({records.setting.data_kind for records in chosen}) > 1:
        kind = data_kind_of_choice(get_task(request.task), request.data)
        chosen = [records for records in chosen if records.setting.data_kind == kind]
    if len({records.setting.data_version for records in chosen}) > 1:
        version = load(chosen[0].setting.data_kind).version
        chosen = [records for records in chosen if records.setting.data_version == version]
    return chosen


def _only_setting(chosen: Sequence[SettingRecords], request: FigureRequest) -> SettingRecords:
    if len(chosen) > 1:
        titles = "\n    ".join(collected_title(request.task, records.setting) for records in chosen)
        raise BenchError(
            f"figure {request.name}: cells of several settings must not share a figure:\n    {titles}",
            f"choose one: --budget {chosen[0].setting.budget}, --data, --preset, or another --results folder",
        )
    return chosen[0]


def _given(stored: Sequence[SettingRecords], setting: Setting) -> SettingRecords | None:
    """Given checkpoints and images on the same data and preset: they have no budget to agree in."""
    wanted = setting._replace(budget=GIVEN)
    return next((records for records in stored if records.setting == wanted and setting != wanted), None)


def _of_given(slot: FigureSlot, given: SettingRecords) -> SlotCells | None:
    """The given row that the slot names."""
    row = next((row for row in given.rows if row.method in slot.methods), None)
    return SlotCells(slot, given, row, (f"{slot.label}: given, not trained here",)) if row else None


def _of_slot(slot: FigureSlot, records: SettingRecords, presets: Mapping[str, PresetMethod]) -> SlotCells | None:
    """The cells of the first of the slot's methods that has a finished one; else of the first that has any."""
    candidates = [_of_method(slot, name, records, presets.get(name)) for name in slot.methods]
    begun = [cells for cells in candidates if cells is not None]
    done = [cells for cells in begun if "done" in cells.states]
    return next(iter(done or begun), None)


def _is_known(method: str) -> bool:
    """Whether its settings can be asked for here: not those of images that another program made."""
    from methods.registry import registered

    return method in registered()


def _of_method(slot: FigureSlot, method: str, records: SettingRecords, preset: PresetMethod | None) -> SlotCells | None:
    """`preset`: the method as the preset trains it; None for one of outside, of which there must be one row."""
    setting = records.setting
    changes = tuple(slot.settings(setting.preset, setting.image_size).items())
    rows = [row for row in records.rows if row.method == method]
    if preset is None and len(rows) <= 1:
        return SlotCells(slot, records, rows[0]) if rows else None
    if preset is None:
        raise BenchError(
            f"{method} was run with several settings, of which none is known to be the usual one",
            "choose a results folder that holds one of them",
        )
    differing = {row: preset_mismatch(row.settings, row.version, preset, changes) for row in rows}
    # A difference in what another figure varies makes a cell that figure's, not this slot's.
    fitting = {row: differs for row, differs in differing.items() if not set(differs.settings) & set(STUDIED)}
    exact = [row for row, differs in fitting.items() if not differs]
    if not fitting:
        return None
    if len(exact or fitting) > 1:
        raise BenchError(
            f"{method} was run with several settings, and not one alone is the preset's: "
            f"{'; '.join(map(_differences_text, fitting.values()))}",
            "choose a results folder that holds one of them, or run the preset's",
        )
    row = next(iter(exact or fitting))
    notes = [f"{slot.label}: {_differences_text(fitting[row])}"] if fitting[row] else []
    if method != slot.methods[0]:
        notes.append(f"{slot.label}: {method} stands in for {slot.methods[0]}, which the paper's authors ran")
    return SlotCells(slot, records, row, tuple(notes))


def _differences_text(differs: Mismatch) -> str:
    """At most three differing settings, in words."""
    shown = [f"{key}={stored} (the preset's: {wanted})" for key, (stored, wanted) in list(differs.settings.items())[:3]]
    more = len(differs.settings) - len(shown)
    version = [] if differs.versions is None else ["method_version={} (the preset's: {})".format(*differs.versions)]
    return ", ".join([*version, *shown]) + (f" and {more} more settings" if more else "")
