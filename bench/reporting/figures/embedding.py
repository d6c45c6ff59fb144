"""Fig. 1a: t-SNE of the features whose clusters become the categories, of both domains' training images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import BenchError
from bench.core.progress import say
from bench.reporting.figures.axes import DrawnAxes
from bench.reporting.figures.collect import FigureRequest
from bench.reporting.figures.page import CLASS_COLOURS, DPI, LINE, SIZE, FigurePage, PageHeading, page_text_width
from bench.reporting.setting import setting_command
from bench.spec.tasks import get_task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.data.types import TaskData

PER_CLASS = 100
"""Images of each class and domain that are embedded: the first in the order of content hashes."""
PERPLEXITY, ITERATIONS, SEED = 30.0, 1_000, 0
STAGE = "features"
METHOD = "cats_udt"
"""Method whose encoder is taken where no features are stored."""
HEIGHT = 5.2
MARKERS = ("o", "^")
SIGNS = ("●", "△")
"""The marks as characters."""


@dataclass(frozen=True)
class EmbeddedFeatures:
    """What is embedded."""

    rows: tuple[np.ndarray, np.ndarray]
    """Per domain float32 (N, D), in the order of the training images."""
    origin: str
    """Where they are from."""


@dataclass(frozen=True)
class Embedding:
    """The one figure of its kind."""

    def draw(
        self, request: FigureRequest, data: TaskData, features: EmbeddedFeatures, heading: PageHeading
    ) -> DrawnAxes:
        """Colours are classes, marks are domains; a class's name stands at its points' middle."""
        chosen = [first_of_each_to_embed(data.splits[domain, "train"].labels, PER_CLASS) for domain in (0, 1)]
        rows = np.concatenate([features_of[index] for features_of, index in zip(features.rows, chosen, strict=True)])
        labels = [data.splits[domain, "train"].labels[index] for domain, index in enumerate(chosen)]
        places = embed(rows)
        parts = places[: len(chosen[0])], places[len(chosen[0]) :]
        of_each = " of each class" if data.labelled else ""
        caption = [
            f"Features: {features.origin}; {rows.shape[1]} wide, as they are, Euclidean distances.",
            f"Training images, the first {PER_CLASS}{of_each} in the order of content hashes: "
            f"{', '.join(f'{name} n = {len(part)}' for name, part in zip(data.domains, parts, strict=True))}.",
            f"{embedding_settings_text(len(rows))}. Distances between far groups mean nothing.",
        ]
        page = FigurePage(heading, HEIGHT, caption)
        axes = page.axes(0.05, 0.05, page.content[2] - 1.35, HEIGHT - 0.1)
        _scatter(axes, parts, labels, data)
        return DrawnAxes(page.figure, caption)


def first_of_each_to_embed(labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of the first `count` of each class, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def embed(rows: np.ndarray) -> np.ndarray:
    """float32 (N, 2): t-SNE with the settings of this module. Equal rows give equal places."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    model = TSNE(
        perplexity=perplexity(len(rows)), max_iter=ITERATIONS, init="pca", learning_rate="auto", random_state=SEED,
        n_jobs=1,
    )  # fmt: skip
    with threadpool_limits(1):  # sums in one order
        return np.asarray(model.fit_transform(np.ascontiguousarray(rows, dtype=np.float32)))


def perplexity(count: int) -> float:
    """30, or what so few points allow."""
    return min(PERPLEXITY, (count - 1) / 3)


def embedding_settings_text(count: int) -> str:
    """The settings in words."""
    return (
        f"t-SNE (scikit-learn): perplexity {perplexity(count):g}, {ITERATIONS:,} iterations, PCA start, automatic "
        f"learning rate, seed {SEED}"
    )


def _scatter(axes: Axes, parts: Sequence[np.ndarray], labels: Sequence[np.ndarray], data: TaskData) -> None:
    from matplotlib.patheffects import withStroke

    named: list[tuple[str, float, float]] = []
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for label, name in enumerate(data.groups):
        colour = CLASS_COLOURS[label % len(CLASS_COLOURS)]
        for domain, (places, classes) in enumerate(zip(parts, labels, strict=True)):
            points = places[classes == label]
            face = colour if domain == 0 else "none"
            text = ", ".join(filter(None, (name, data.domains[domain])))
            axes.scatter(points[:, 0], points[:, 1], s=13, marker=MARKERS[domain], facecolors=face, edgecolors=colour,
                         linewidths=0.7, zorder=2, label=text)  # fmt: skip
            if len(points):
                x, y = np.median(points, axis=0)
                named.append((f"{SIGNS[domain]} {name or data.domains[domain]}", float(x), float(y)))
    for name, x, y in _apart(axes, named):
        axes.text(x, y, name, ha="center", va="center", size=SIZE, weight="bold", path_effects=halo, zorder=3,
                  parse_math=False)  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handletextpad=0.2)


def _apart(axes: Axes, named: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """The names with their places, moved down where one would cover another. Places in data coordinates."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    across, up = (right - left) / axes.bbox.width * DPI, (high - low) / axes.bbox.height * DPI  # units of data an inch
    line = SIZE * LINE / 72 * up
    placed: list[tuple[str, float, float, float]] = []  # name, x, y, width
    for name, x, y in sorted(named, key=lambda one: -one[2]):
        width = page_text_width(name, weight="bold") * across
        for _, other, taken, wide in placed:  # from the highest to the lowest
            if abs(other - x) < (width + wide) / 2 and abs(taken - y) < line:
                y = taken - line
        placed.append((name, x, y, width))
        placed.sort(key=lambda one: -one[2])
    return [place[:3] for place in placed]


# --------------------------------------------------------------------------------------------------- the features


def find_features_to_embed(request: FigureRequest, data: TaskData) -> EmbeddedFeatures:
    """The features of the stored semantic stage of this data; else by the preset's encoder, computed now.

    Of several, those that spectral clusters were made of, of the lowest seed. Raises BenchError if none is stored and
    the preset trains its encoder, with what trains it.
    """
    stored = stored_features_to_embed(request, data)
    if not stored:
        return _computed(request, data)
    if len(stored) > 1:
        say(f"features: {stored[0].parent.name}; also stored: {', '.join(path.parent.name for path in stored[1:])}")
    return _read(stored[0])


def stored_features_to_embed(request: FigureRequest, data: TaskData) -> list[Path]:
    """`stage.json` of every features stage of this data: first those that were clustered, then by seed and name."""
    from bench.training.stages import stage_folder

    folder = request.results / "semantics" / request.task
    folders = []
    for path in sorted(folder.glob(f"{STAGE}-seed*/stage.json")):
        stage = _record(path)
        named = stage_folder(folder, data.version, stage["name"], stage["version"], stage["identity"], stage["seed"])
        if path.parent == named:
            folders.append((not _clustered(path), stage["seed"], path))
    return [path for _, _, path in sorted(folders)]


def _clustered(path: Path) -> bool:
    """Whether spectral clusters were made of one of the domains' features."""
    from methods.base import digest

    identities = {
        _record(other)["identity"]["features"] for other in path.parent.parent.glob("spectral-seed*/stage.json")
    }
    return any(digest(value) in identities for value in _tensors(path).values())


def _record(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(path.parent / "weights.safetensors"))


def _read(path: Path) -> EmbeddedFeatures:
    tensors = _tensors(path)
    first, second = (tensors[f"features_{domain}"].numpy() for domain in (0, 1))
    which = "of which spectral clusters were made" if _clustered(path) else "of which no spectral clusters are stored"
    return EmbeddedFeatures((first, second), f"semantic stage {path.parent.name}, {which}")


def _computed(request: FigureRequest, data: TaskData) -> EmbeddedFeatures:
    """The features stage, run and stored as `bench semantics` would, where nothing has to be trained before it."""
    from bench.core.device import Runtime
    from bench.spec.methods import method_config_with_clusters, method_settings
    from bench.spec.presets import get_preset
    from bench.spec.run_spec import spec_config
    from bench.training.pretrained import weights_loader
    from bench.training.stages import StageStore
    from bench.training.train import training_domains
    from methods.base import Context
    from methods.registry import load_registered, registered
    from methods.semantics.categories import build_categories

    task = get_task(request.task)
    cls = load_registered(registered()[METHOD].target)
    preset = get_preset(request.preset, task.kind)
    config = method_config_with_clusters(
        spec_config(cls, METHOD, *method_settings(cls, METHOD, preset, {}, data.kind)), len(data.classes)
    )
    categories = build_categories(config.categories, config.semantics, data.size, config.clusters)
    names = categories.stage_names
    if names[:1] != (STAGE,):
        raise _not_stored(request, names)
    runtime = Runtime("auto", data.size)
    store = StageStore(request.results / "semantics" / request.task, data.version, 0, runtime)
    context = Context(weights_loader(request.results, runtime), store)
    say(f"features: none are stored; by the encoder {config.semantics.encoder}, now")
    try:
        with runtime.threads_pinned(runtime.threads):
            next(iter(categories.to(runtime.device).stages(training_domains(data, runtime), context)))
    except LookupError as error:
        raise BenchError(
            f"figure {request.name}: {error}", f"fetch it, then: {embedding_features_command(request)}"
        ) from error
    return _read(stored_features_to_embed(request, data)[0])


def embedding_features_command(request: FigureRequest) -> str:
    """The command that makes the features."""
    options = request.options("preset", "data", "domains", "results")
    return setting_command("semantics", task=request.task, stage=STAGE, **options)


def _not_stored(request: FigureRequest, names: Sequence[str]) -> BenchError:
    what = f"figure {request.name}: no features of {request.task} (preset {request.preset}) in {request.results}"
    if STAGE in names:
        return BenchError(f"{what}, and what encodes is trained", embedding_features_command(request))
    return BenchError(f"{what}: its categories are learned on images themselves", "choose another --task: sketch2real")
