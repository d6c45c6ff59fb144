"""Whether a stored cell is its method as a preset trains it, and if not, which settings differ.

To resolve a method's settings takes its class, hence torch, hence seconds. So they are kept in `results/index/`, under
a digest of the code that they follow from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from bench.core.errors import BenchError
from bench.core.files import write_json
from bench.spec.presets import get_preset
from bench.spec.protocols import ALL
from bench.spec.run_spec import flat_spec_values, later_defaults, spec_config, spec_values
from bench.spec.tasks import Task
from bench.store.query import CellScore, MethodRow, RowScores, SettingRecords

CODE = ("methods.py", "presets.py", "run_spec.py", "tasks.py")
"""Files of bench/spec/ that settings follow from, beside all of methods/."""
OPEN = 0
"""Value of `clusters` where the data decides their number."""
Changes = tuple[tuple[str, object], ...]
"""(dotted key, value) over the preset's settings, as by `--set`."""


class PresetMethod(NamedTuple):
    """A method as a preset trains and scores it."""

    config: Mapping[str, Any]
    """Every setting, as JSON values."""
    version: int
    """The method's."""
    style: str
    """Where its styles come from unless something else is asked for."""
    later: Mapping[str, Any] = {}
    """Dotted key -> what a setting that was added later is where a stored config lacks it."""


def preset_methods(
    root: Path, task: Task, preset: str, data_kind: str, names: Sequence[str]
) -> dict[str, PresetMethod]:
    """The registered methods `names` in a preset on `task`; kept in the results folder `root`.

    Raises BenchError for an unknown preset.
    """
    get_preset(preset, task.kind)
    path = root / "index" / f"settings-{_code_digest()}.json"
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        kept = {}
    key = f"{task.name} {preset} {data_kind}"
    known = {name: PresetMethod(*values) for name, values in kept.get(key, {}).items()}
    if missing := [name for name in names if name not in known]:
        known |= {name: preset_method(task, preset, data_kind, name) for name in missing}
        try:
            write_json(path, {**kept, key: known})
        except BenchError:
            return known  # a full disk or a folder of somebody else's
    return known


def preset_method(
    task: Task, preset: str, data_kind: str, name: str, changes: Mapping[str, Any] | None = None, classes: int = 0
) -> PresetMethod:
    """The method `name` in a preset, with `changes` laid over it (dotted key -> value, or its text).

    `classes`: how many the data has, for a task that leaves that open. Raises BenchError for an unknown preset, method
    or setting, and for a method that cannot be imported.
    """
    from bench.spec.methods import method_config_with_clusters, method_settings, resolve_methods

    classes_by_name, broken = resolve_methods([name])
    if broken:
        raise BenchError(f"{name} cannot be imported here ({broken[name]})", "see `list methods`")
    cls = classes_by_name[name]
    preset_layers = method_settings(cls, name, get_preset(preset, task.kind), {name: changes or {}}, data_kind)
    config = method_config_with_clusters(spec_config(cls, name, *preset_layers), len(task.classes) or classes)
    style = cls.style_sources[0] if cls.style_sources else "none"
    return PresetMethod(spec_values(config), cls.version, style, later_defaults(cls.Config))


def _code_digest() -> str:
    whole = sha256()
    code = [files("bench") / "spec" / name for name in CODE]
    for source in [*code, *_python_files(files("methods"))]:
        whole.update(source.read_bytes())
    return whole.hexdigest()[:12]


def _python_files(folder: Any) -> list[Any]:
    sources = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            sources += _python_files(entry)
        elif entry.name.endswith(".py"):
            sources.append(entry)
    return sources


# ------------------------------------------------------------------------------------------------- what differs


def preset_mismatches(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], later: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (stored, wanted) of each setting in which two configs differ; where one lacks it, as in `later`,
    else None."""
    one, other = ({**later, **flat_spec_values(dict(config))} for config in (stored, wanted))
    return {key: (one.get(key), other.get(key)) for key in sorted({*one, *other}) if one.get(key) != other.get(key)}


@dataclass(frozen=True)
class Mismatch:
    """How a stored method is not the preset's; false if it is."""

    versions: tuple[int, int] | None
    """(stored, now) of the method, if they differ."""
    settings: Mapping[str, tuple[Any, Any]]
    """Dotted key -> (stored, the preset's)."""

    def __bool__(self) -> bool:
        return bool(self.versions or self.settings)

    def __str__(self) -> str:
        if self.versions:
            return "made by version {} of the method, which is now {}".format(*self.versions)
        changed = ", ".join(f"{key}={value}" for key, (value, _) in self.settings.items())
        return f"not the preset's settings: {changed}" if changed else ""


def preset_mismatch(settings: Mapping[str, Any], version: int, wanted: PresetMethod, changes: Changes = ()) -> Mismatch:
    """How `settings` of a stored `version` are not those of the preset's method with `changes` over them."""
    expected = {**flat_spec_values(dict(wanted.config)), **dict(changes)}
    if expected.get("clusters") == OPEN:
        expected["clusters"] = settings.get("clusters")
    differing = preset_mismatches(settings, expected, wanted.later)
    return Mismatch((version, wanted.version) if version != wanted.version else None, differing)


# ------------------------------------------------------------------------------------ the preset's rows of a setting


class PresetRows:
    """The rows of one setting that are methods as the preset trains them, scored with styles from the default source.

    `wanted`: (method, changes of its settings) of each. A row is taken only where it is the only one of its kind.
    """

    def __init__(
        self, records: SettingRecords, presets: Mapping[str, PresetMethod], wanted: Iterable[tuple[str, Changes]]
    ) -> None:
        self.records, self.presets = records, presets
        rows = ((key, self._matching(*key)) for key in dict.fromkeys(wanted))
        self.rows = {key: matching[0] for key, matching in rows if len(matching) == 1}
        """(method, changes) -> its row."""

    def _matching(self, method: str, changes: Changes) -> list[MethodRow]:
        return [row for row in self.records.rows if row.method == method and not self._mismatch(row, changes)]

    def _mismatch(self, row: MethodRow, changes: Changes = ()) -> Mismatch:
        return preset_mismatch(row.settings, row.version, self.presets[row.method], changes)

    def left_out(self) -> Iterator[tuple[MethodRow, str]]:
        """(row, why) of each of the preset's methods that is none of `rows`; no reason: it is one of several alike."""
        used = set(self.rows.values())
        for row in self.records.rows:
            if row.method in self.presets and row not in used:
                yield row, str(self._mismatch(row))

    def scores(self, direction: str) -> Iterator[RowScores]:
        """What was scored of the rows in `direction`, with styles from the default source."""
        used = set(self.rows.values())
        for scores in self.records.directions.get(direction, ()):
            if scores.row in used and scores.style == self.presets[scores.row.method].style:
                yield scores

    @cached_property
    def encoders(self) -> dict[tuple[str, str], Counter[str]]:
        """(direction, protocol) -> how many cells have values by each encoder."""
        counts: dict[tuple[str, str], Counter[str]] = {}
        for direction in self.records.directions:
            for scores in self.scores(direction):
                for key, measurement in scores.measurements.items():
                    if key.label == ALL and measurement.values:
                        count = counts.setdefault((direction, key.protocol), Counter())
                        count[key.encoder] += len(measurement.values)
        return counts

    def encoder(self, direction: str, protocol: str) -> str:
        """The encoder whose values are used, that of most cells: values by two are two measures."""
        counts = self.encoders.get((direction, protocol))
        return min(counts, key=lambda name: (-counts[name], name)) if counts else ""

    def cell_scores(self, row: MethodRow, direction: str, protocol: str, label: str) -> dict[int, CellScore]:
        """Cell -> its value by the encoder of most cells, or else why it has none, or else its value by another one.

        Cells that were not scored by `protocol` are absent.
        """
        usual = self.encoder(direction, protocol)
        by_cell: dict[int, CellScore] = {}
        for scores in (scores for scores in self.scores(direction) if scores.row == row):
            chosen = [key for key in scores.measurements if (key.protocol, key.label) == (protocol, label)]
            for key in sorted(chosen, key=lambda key: (key.encoder == usual, key.encoder == "")):
                by_cell.update({score.cell: score for score in self.records.scores(key, scores.measurements[key])})
        return by_cell

    def is_used(self, score: CellScore, direction: str, protocol: str) -> bool:
        """Whether `score` is a value by the encoder whose values are used."""
        return score.value is not None and score.encoder == self.encoder(direction, protocol)
