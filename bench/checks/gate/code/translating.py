"""Translations by stored weights, through the harness's own evaluation, read by a stored judge."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from bench.checks.gate.code.smallest import THREADS
from bench.checks.gate.code.values import Values
from bench.checks.tiny_run import TinyRun, tiny_run_on_cpu
from bench.data.types import TaskData
from bench.evaluation.encoders import Encoders, MissingEncoder
from bench.evaluation.evaluate import evaluate_cell
from bench.evaluation.feature_cache import FeatureCache
from bench.evaluation.judge import Judge, get_judge
from bench.evaluation.record import Record
from bench.evaluation.score import score_direction
from bench.evaluation.translate import Translations, chosen_style_source, translate_test_images
from bench.spec.presets import EvaluationSize, JudgeSettings
from bench.spec.protocols import ALL, FREE, PROTOCOLS
from bench.store.cell import Cell
from bench.training.weights import load_trained_weights, store_weights
from metrics.accuracy import accuracy, per_class_accuracy
from metrics.encoders import JudgeEncoder
from metrics.encoders.wide_resnet import WideResNet

JUDGED = ("accuracy-judge-v1", "fid-judge-v1", "kid-judge-v1", "diversity-judge-v1")
"""Protocols that are compared for every method: those that rounding moves little. The others: of the sources alone."""
JUDGE = JudgeSettings(10, 1, 0.0, steps=3, batch_size=8, learning_rate=0.05, augment=True, tolerance=0.4)
"""A judge that is trained in a second; the stored one differs in its `steps`."""
NEAR = 0.05
"""Two classes whose logits differ by less than this part of the logits' deviation count as equal."""


def make_translating_judge(state: Mapping[str, Tensor], data: TaskData) -> Judge:
    """The stored judge, which serves both domains; its accuracies are measured now, on domain 1."""
    network = WideResNet(JUDGE.depth, JUDGE.widen, len(data.classes), JUDGE.dropout)
    network.load_state_dict(state)
    encoder, test = JudgeEncoder(network), data.splits[1, "test"]
    predicted = encoder.predict(test.images)
    per_class = per_class_accuracy(predicted, test.labels, range(len(data.classes)))
    shares = {data.classes[label]: share.value or 0.0 for label, share in per_class.items()}
    return Judge(encoder, accuracy(predicted, test.labels), shares, len(test))


def make_translating_encoders(judge: Judge, folder: Path, protocols: tuple[str, ...]) -> Encoders:
    """Encoders and settings for the scoring; encoders that need weights are missing."""
    names = {protocol.encoder for protocol in PROTOCOLS.values()} - set(FREE)
    absent = MissingEncoder("not part of the code check")
    return Encoders(
        judge=lambda target: judge,
        probe=lambda target: absent,
        pretrained={name: partial(lambda missing: missing, absent) for name in names},
        cache=FeatureCache(folder / "features"),
        size=EvaluationSize(None, None),
        protocols=tuple(PROTOCOLS[name] for name in protocols),
    )


def translating_judge_values(judge: Judge, data: TaskData, folder: Path) -> Values:
    """Values of the subject `judge`: what the stored one sees, and a judge that is trained now."""
    values = Values("judge")
    images = np.concatenate([data.splits[domain, "test"].images for domain in (0, 1)])
    features = judge.encoder(images)
    values.add_array("features of stored images", "features", features)
    values.add_array("logits of stored images", "features", judge.encoder.logits(features))
    near = _near(judge.encoder.logits(judge.encoder(data.splits[1, "test"].images)))
    values.add("accuracy on real images", "share", judge.accuracy, slack=float(near.mean()))
    other = get_judge(folder, data, 1, JUDGE, tiny_run_on_cpu(data.size, THREADS)).encoder
    values.add_array(f"logits of one trained for {JUDGE.steps} steps", "stage", other.logits(other(images)))
    return values


def translating_scoring_values(judge: Judge, data: TaskData, folder: Path) -> Values:
    """Values of the subject `scoring`: every protocol that needs no weights, of shifted test images as translations."""
    values = Values("scoring")
    names = tuple(name for name, protocol in PROTOCOLS.items() if protocol.encoder in FREE and not protocol.on_request)
    test = data.splits[0, "test"]
    images = np.stack([np.roll(test.images, shift, axis=-1) for shift in (0, 1, 2)], axis=1)
    shifted = Translations(0, 1, np.arange(len(test)), test.labels, images)
    records = score_direction(data, shifted, "stored", make_translating_encoders(judge, folder, names))
    _add_records(values, records, _slack(judge, shifted, data))
    return values


def measure_translating(run: TinyRun, stored: Mapping[str, Tensor], judge: Judge) -> Values:
    """Values of the subject `<method>: translations`."""
    values = Values(f"{run.candidate.name}: translations")
    job = run.job_of_steps(1)
    cell, data = Cell(run.folder, job.spec), run.data
    method = job.build()
    method.load_state_dict(stored)
    store_weights(method, cell)
    method = load_trained_weights(job.build, cell, run.runtime)
    style = chosen_style_source(method)
    encoders = make_translating_encoders(judge, run.folder, JUDGED)
    records = evaluate_cell(method, data, method.directions, cell, encoders, style)
    for source, target in method.directions:
        direction = f"{data.domains[source]}->{data.domains[target]}"
        images = np.load(cell.translations(direction, style), allow_pickle=False)
        _add_images(values, f"{direction}, {style}", images)
        for other in method.style_sources[1:]:
            more = translate_test_images(method, data, source, target, None, other)
            _add_images(values, f"{direction}, {other}", more.images)
        count = len(images)
        labels = data.splits[source, "test"].labels[:count]
        translations = Translations(source, target, np.arange(count), labels, images)
        of_direction = [record for record in records if record.direction == direction]
        _add_records(values, of_direction, _slack(judge, translations, data))
    return values


def _add_images(values: Values, where: str, images: np.ndarray) -> None:
    """uint8 (S, K, 3, H, W)."""
    values.add(f"{where}: images", "exact", f"{images.shape[0]} sources in {images.shape[1]} styles")
    values.add_array(f"{where}: grey levels", "features", images)
    between = images.astype(np.float64).std(axis=1).mean()
    values.add(f"{where}: deviation between styles", "features", float(between), scale=1.0)


def _add_records(values: Values, records: list[Record], slack: Mapping[str, float]) -> None:
    """Counts and values; `slack`: label -> that of its accuracy.

    Floors and deviations come from draws that follow the bytes of the features, which the last bit of a convolution
    decides: they are compared where features are stored, and here for the pixels alone.
    """
    for record in records:
        what = f"{record.protocol}, {record.direction}, {record.label}"
        values.add(f"{what}: images", "exact", f"{record.n} and {record.n_reference} real ones")
        if record.missing:
            values.add(f"{what}: missing", "exact", record.missing)
        elif record.metric == "accuracy":
            values.add(f"{what}: %", "share", record.value or 0.0, slack=slack[record.label])
        else:
            values.add(f"{what}: value", "features", "none" if record.value is None else record.value, scale=1.0)
            if record.encoder == "pixels":
                values.add(f"{what}: floor", "metric", "none" if record.floor is None else record.floor)


def _slack(judge: Judge, translations: Translations, data: TaskData) -> dict[str, float]:
    """Class or `all` -> by how many percent the sources whose class is nearly undecided can move its accuracy."""
    near = _near(judge.encoder.logits(judge.encoder(translations.images[:, 0])))
    rows = {ALL: np.ones(len(near), bool)} | {name: translations.labels == i for i, name in enumerate(data.classes)}
    return {label: 100.0 * float(near[row].mean()) if row.any() else 0.0 for label, row in rows.items()}


def _near(logits: np.ndarray) -> np.ndarray:
    """bool (N,): whether the two highest of (N, classes) are nearly equal."""
    best = np.sort(logits, axis=1)
    return best[:, -1] - best[:, -2] < NEAR * logits.std()
