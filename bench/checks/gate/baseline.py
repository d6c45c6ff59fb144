"""Baselines: raw values of trainings, seed by seed, with everything that they depend on, in one folder each.

`results/baselines/NAME/baseline.json`, beside it the judges that made the scores (another judge is another measure),
and what the code check stored. Baselines that come with the package lie in `results/baselines/` of the repository.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.checks.gate.trainings import FAILED, MadeOf, StoredTraining, TrainingMeasure
from bench.core.errors import BenchError, error_remedy
from bench.core.files import write_json
from bench.core.installation import installed_results
from bench.spec.protocols import PROTOCOLS, TRANSLATION
from bench.store.query import Setting

SCHEMA = 2
"""1 had one training length for all methods."""
FILE = "baseline.json"
JUDGES = "judges"
CODE = "code"
"""Folder of the code check's part."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class BaselineSetting(NamedTuple):
    """Settings in which all trainings of a baseline agree."""

    data_kind: str
    data_version: str
    image_size: int
    preset: str


@dataclass(frozen=True)
class BaselineMethod:
    """Settings with which a method was trained and scored."""

    budget: str
    """Training length, `images=N` or `seconds=S`."""
    config: Mapping[str, Any]
    """Every setting, as JSON values."""
    version: int
    """Version of the method."""
    style: str
    """Source of the styles: `noise`, `exemplar` or `none`."""
    made: Mapping[TrainingMeasure, MadeOf]
    """Measure -> encoder and number of images, the same for all seeds."""


@dataclass(frozen=True)
class BaselineTraining:
    """One training."""

    method: str
    seed: int
    identity: str
    """Identity of its cell."""
    failure: str
    """Reason of its failure; empty if it did not fail."""
    values: Mapping[TrainingMeasure, float]
    """Values over all classes; empty if it failed."""
    environment: int
    """Number of its environment in the baseline's list."""


@dataclass(frozen=True)
class Baseline:
    """Trainings of one task that later ones are compared with."""

    name: str
    task: str
    shared: BaselineSetting
    classes: int
    """Number of classes of the task: the accuracy of guessing is one over it."""
    seeds: tuple[int, ...]
    """Every method has a training of each."""
    data: str
    """`--data` of a run that trains the same."""
    domains: str
    """`--domains` of such a run."""
    protocols: Mapping[str, Mapping[str, Any]]
    """Name -> every field of the protocols of the values, and of the translation."""
    methods: Mapping[str, BaselineMethod]
    trainings: Sequence[BaselineTraining]
    environments: Sequence[Mapping[str, Any]]
    """The different ones in which trainings were made."""
    val: str = ""
    """`--val` of such a run."""

    def setting(self, method: str) -> Setting:
        """Settings that the trainings of a method have in common: data, size, preset, and its training length."""
        return Setting(*self.shared, self.methods[method].budget)

    def of(self, method: str) -> dict[int, BaselineTraining]:
        """Seed -> training of a method."""
        return {training.seed: training for training in self.trainings if training.method == method}


def baseline_protocols(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every field of the protocols called `names` that exist, and of the translation, as JSON values."""
    protocols = {name: asdict(PROTOCOLS[name]) for name in sorted(set(names)) if name in PROTOCOLS}
    return json.loads(json.dumps({**protocols, TRANSLATION.name: asdict(TRANSLATION)}))


# --------------------------------------------------------------------------------------------------------- the folders


def baseline_folder(root: Path, name: str) -> Path:
    """The folder of the baseline called `name`: in the results folder `root`, or shipped. BenchError if in neither."""
    places = _places(root)
    folders = [place / name for place in places if NAME.fullmatch(name) and _is_one(place / name)]
    if not folders:
        raise BenchError(
            f"there is no baseline '{name}' in {places[0]}, and none is shipped under that name",
            error_remedy(name, [known for known, _ in find_baselines(root)])
            + "; make one: baseline save NAME --task T",
        )
    return folders[0]


def find_baselines(root: Path) -> list[tuple[str, Path]]:
    """(name, folder) of every baseline that can be compared with; of two of one name the one in `root`."""
    folders: dict[str, Path] = {}
    for place in _places(root):
        for folder in sorted(place.glob("*/")):
            if _is_one(folder):
                folders.setdefault(folder.name, folder)
    return sorted(folders.items())


def _is_one(folder: Path) -> bool:
    """Whether there is something to compare with: trainings, or at least the code check's part."""
    return NAME.fullmatch(folder.name) is not None and ((folder / FILE).is_file() or (folder / CODE).is_dir())


def _places(root: Path) -> tuple[Path, Path]:
    return root / "baselines", installed_results() / "baselines"


# --------------------------------------------------------------------------------------------------------- the content


def write_baseline(baseline: Baseline, judges: Sequence[Path], folder: Path) -> None:
    """Fill `folder` with `baseline` and copies of the folders of `judges`."""
    for judge in judges:
        to = folder / JUDGES / judge.name
        to.mkdir(parents=True)
        for file in ("judge.json", "weights.safetensors"):
            shutil.copyfile(judge / file, to / file)
    write_json(folder / FILE, _as_json(baseline))


def claim_baseline_folder(root: Path, name: str) -> Path:
    """An empty folder for a new baseline's content, for `publish_baseline`. BenchError if the name is taken."""
    if not NAME.fullmatch(name):
        raise BenchError(f"{name!r} cannot be a baseline's name", "letters, digits, dots, dashes and underscores can")
    final = root / "baselines" / name
    if final.exists():
        raise BenchError(f"{final} is there already", "choose another name, or remove that folder first")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{name}."))
    except OSError as error:
        raise BenchError(f"could not write {final}: {error.strerror or error}", "choose another --results") from error


def publish_baseline(folder: Path, root: Path, name: str) -> Path:
    """Rename `folder` to its final name, at once."""
    final = root / "baselines" / name
    folder.chmod(0o755)
    os.rename(folder, final)
    return final


def load_baseline(root: Path, name: str) -> Baseline:
    """The baseline called `name`. BenchError if there is none, if it has no trainings, is damaged or newer."""
    path = baseline_folder(root, name) / FILE
    if not path.is_file():
        raise BenchError(
            f"the baseline '{name}' has no trainings, only the code check's part ({path.parent})",
            "check --code-only, or store trainings under another name: baseline save NAME --task T",
        )
    try:
        stored = json.loads(path.read_bytes())
        schema = stored["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    if schema != SCHEMA:
        remedy = "save it again: baseline save NAME --task T" if schema < SCHEMA else "update udt-bench"
        raise BenchError(f"{path} is of schema {schema}, and this version reads {SCHEMA}", remedy)
    try:
        return _from_json(name, stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BenchError:
    return BenchError(
        f"{path} is damaged: {type(error).__name__}: {error}", "restore it (git checkout), or save the baseline again"
    )


def install_baseline_judges(folder: Path, root: Path) -> None:
    """Put the judges of the baseline in `folder` where runs with the results folder `root` find theirs.

    A judge that is there already stays: values of another one are told apart by its identity.
    """
    for judge in sorted((folder / JUDGES).glob("*/judge.json")):
        to = root / "judges" / judge.parent.name
        if (to / "judge.json").exists():
            continue
        to.mkdir(parents=True, exist_ok=True)
        for file in ("weights.safetensors", "judge.json"):  # the second is what says that a judge is there
            shutil.copyfile(judge.parent / file, to / f".{file}.tmp")
            os.replace(to / f".{file}.tmp", to / file)


def baseline_judges(root: Path, encoders: Sequence[str]) -> Iterator[Path]:
    """The folders of the judges in `root` with the identities (or beginnings of them) `encoders`."""
    for path in sorted((root / "judges").glob("*/judge.json")):
        if any(json.loads(path.read_text())["identity"].startswith(encoder) for encoder in encoders):
            yield path.parent


def _as_json(baseline: Baseline) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **{name: getattr(baseline, name) for name in ("task", "classes", "data", "domains", "protocols")},
        **({"val": baseline.val} if baseline.val else {}),
        "shared": baseline.shared._asdict(),
        "seeds": list(baseline.seeds),
        "environments": list(baseline.environments),
        "methods": {
            name: {
                "budget": method.budget, "config": method.config, "version": method.version, "style": method.style,
                "made": _nested({measure: source._asdict() for measure, source in method.made.items()}),
            }
            for name, method in baseline.methods.items()
        },
        "trainings": [
            {
                "method": training.method, "seed": training.seed, "identity": training.identity,
                "failure": training.failure, "environment": training.environment, "values": _nested(training.values),
            }
            for training in baseline.trainings
        ],
    }  # fmt: skip


def _from_json(name: str, stored: Mapping[str, Any]) -> Baseline:
    methods = {
        method: BaselineMethod(
            **{**fields, "made": {at: MadeOf(**source) for at, source in _flat(fields["made"]).items()}}
        )
        for method, fields in stored["methods"].items()
    }
    trainings = [BaselineTraining(**{**fields, "values": _flat(fields["values"])}) for fields in stored["trainings"]]
    baseline = Baseline(
        name=name, task=stored["task"], shared=BaselineSetting(**stored["shared"]), classes=stored["classes"],
        seeds=tuple(stored["seeds"]), data=stored["data"], domains=stored["domains"], protocols=stored["protocols"],
        methods=methods, trainings=trainings, environments=stored["environments"],
        val=stored.get("val", ""),
    )  # fmt: skip
    for method in methods:
        if set(baseline.of(method)) != set(baseline.seeds):
            raise ValueError(f"{method} does not have the trainings of every seed")
    return baseline


def _nested(values: Mapping[TrainingMeasure, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for measure, value in values.items():
        nested.setdefault(measure.direction, {})[measure.protocol] = value
    return nested


def _flat(nested: Mapping[str, Mapping[str, Any]]) -> dict[TrainingMeasure, Any]:
    return {
        TrainingMeasure(direction, name): value for direction, named in nested.items() for name, value in named.items()
    }


# ------------------------------------------------------------------------------------------------------- from trainings


def gather_baseline(
    name: str, task: str, chosen: Sequence[StoredTraining], root: Path, classes: int, data: str, domains: str
) -> Baseline:
    """A baseline of `chosen`: trainings that differ in method, its budget and seed alone, finished or failed.

    BenchError if seeds of a method were scored differently, or fewer than two have values.
    """
    methods: dict[str, BaselineMethod] = {}
    environments: list[Mapping[str, Any]] = []
    kept = []
    for one in chosen:
        measured = methods[one.method].made if one.method in methods else one.made
        if one.state != FAILED:
            if measured and measured != one.made:
                raise _differs(one, measured)
            measured = one.made
        style = one.style if measured else ""
        methods[one.method] = BaselineMethod(one.setting.budget, one.config, one.version, style, measured)
        environment = _environment(root / "runs" / task / one.folder)
        if environment not in environments:
            environments.append(environment)
        number = environments.index(environment)
        kept.append(BaselineTraining(one.method, one.seed, one.identity, one.failure(), one.values, number))
    for method in methods:
        if sum(not training.failure for training in kept if training.method == method) < 2:
            raise BenchError(f"fewer than two trainings of {method} ended well", "leave it out with --methods")
    protocols = baseline_protocols([measure.protocol for method in methods.values() for measure in method.made])
    seeds = tuple(sorted({one.seed for one in chosen}))
    setting = chosen[0].setting
    shared = BaselineSetting(setting.data_kind, setting.data_version, setting.image_size, setting.preset)
    return Baseline(name, task, shared, classes, seeds, data, domains, protocols, methods, kept, environments)


def _differs(of: StoredTraining, made: Mapping[TrainingMeasure, MadeOf]) -> BenchError:
    differing = sorted(at for at in {*made, *of.made} if made.get(at) != of.made.get(at))
    told = ", ".join(f"{at.protocol} {at.direction}" for at in differing)
    return BenchError(
        f"seeds of {of.method} were not all scored alike: seed {of.seed} differs in {told}",
        "score them alike (bench evaluate), or choose --seeds that were",
    )


def _environment(folder: Path) -> Mapping[str, Any]:
    """Versions, hardware, source; without the doctor's record, which says nothing more."""
    path = folder / "environment.json"
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    stored.pop("doctor", None)
    return stored
