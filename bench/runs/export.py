"""The test sources of a task as PNG files, for code that is not run here; `bench score` takes the translations back."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from bench.core.errors import BenchError
from bench.core.progress import progress, say
from bench.data.load import load_data
from bench.data.types import TaskData
from bench.evaluation.translate import first_rows_of_each_class
from bench.spec.presets import get_preset
from bench.spec.tasks import Task, get_task

LISTING, README = "sources.csv", "README.md"
_README = """# Sources to translate

Test images of `{task}` (preset {preset}, {size} x {size} pixels, data version {version}):
{directions}

`sources.csv` lists them: id, class, file, sha256 of the file. Translate each one, without looking at its class, and
give back RGB images of {size} x {size} pixels in one of these forms:

- a folder like this one, with the translation of each source in a file of the source's name; or in `<id>_0.png`,
  `<id>_1.png`, ... where there are several of each source;
- one folder of files `<id>.png`, `<id>_fake.png` or `<id>_fake_B.png`;
- one .npy or .npz array, uint8, (N, {size}, {size}, 3) or (N, K, {size}, {size}, 3) with K translations of each source,
  in the order of `sources.csv` (of one domain with `--direction`).

Then type:

```sh
{command}
```
"""


def scored_sources(data: TaskData, task: Task, per_class: int | None) -> dict[int, np.ndarray]:
    """Source domain -> rows of its test split that are scored, in order: those of `sources.csv`."""
    domains = dict.fromkeys(source for source, _ in task.directions)
    return {domain: first_rows_of_each_class(data.splits[domain, "test"].labels, per_class) for domain in domains}


def source_file(data: TaskData, domain: int, row: int) -> str:
    """`<domain>/<class>/<id>.png` of a test image; `<domain>/<id>.png` without classes."""
    split = data.splits[domain, "test"]
    return "/".join(filter(None, (data.domains[domain], data.groups[split.labels[row]], f"{split.ids[row]}.png")))


def export_sources(task_name: str, preset_name: str, choice: str, domains: str, val: str, out: Path) -> None:
    """Write every test source that is scored, `sources.csv` and a README to the folder `out`: all of it, or nothing.

    Raises BenchError if `out` is there and not an empty folder.
    """
    task = get_task(task_name)
    preset = get_preset(preset_name, task.kind)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BenchError(f"--out {out} is not an empty folder", "choose another one, or remove it")
    data = load_data(task, choice, task.sizes[preset_name], domains, val)
    say(data.note)
    sources = scored_sources(data, task, preset.evaluation.for_classes(len(data.classes)).sources_per_class)
    out = out.absolute()
    unfinished = out.with_name(f"{out.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        rows = list(_write_images(unfinished, data, sources))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("id", "class", "file", "sha256"), *rows])
        (unfinished / LISTING).write_text(text.getvalue(), encoding="utf-8")
        counts = [
            f"- {data.domains[a]} -> {data.domains[b]}: {len(sources[a]):,} images in `{data.domains[a]}/`"
            for a, b in task.directions
        ]
        typed = ["python", "-m", "bench", "score", "IMAGES", "--name", "NAME", "--task", task.name]
        typed += ["--preset", preset_name, "--data", choice, *(["--domains", domains] if domains else [])]
        typed += ["--val", val] if val else []
        readme = _README.format(
            task=task.name, preset=preset_name, size=data.size, version=data.version, directions="\n".join(counts),
            command=shlex.join(typed),
        )  # fmt: skip
        (unfinished / README).write_text(readme, encoding="utf-8")
        os.replace(unfinished, out)
    except OSError as error:
        raise BenchError(f"--out {out} cannot be written: {error}", "choose a folder that can, with space") from error
    say(f"{len(rows):,} sources in {out}; what to give back: {out / README}")


def _write_images(folder: Path, data: TaskData, sources: dict[int, np.ndarray]) -> Iterator[tuple[str, str, str, str]]:
    """Write each image, and yield its row of `sources.csv`."""
    with progress("exporting", sum(map(len, sources.values())), "images") as advance:
        for domain, rows in sources.items():
            split = data.splits[domain, "test"]
            for row in rows:
                file, encoded = source_file(data, domain, row), io.BytesIO()
                pixels = np.ascontiguousarray(split.images[row].transpose(1, 2, 0))  # (H, W, 3)
                Image.fromarray(pixels).save(encoded, "PNG")
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded.getvalue())
                digest = hashlib.sha256(encoded.getvalue()).hexdigest()
                yield split.ids[row], data.groups[split.labels[row]], file, digest
                advance(1)
