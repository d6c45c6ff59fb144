"""Semantic stages on disk: trained once per (data, settings, seed), resumed after a kill, shared by all cells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor

from bench.core.device import Runtime
from bench.core.files import (
    damaged_folder_error,
    file_lock,
    read_json,
    read_weights_file,
    remove_leftover_files,
    write_atomically,
    write_json,
)
from bench.core.progress import explained, say
from bench.core.randomness import randomness, seeded
from bench.store.checkpoints import CheckpointFolder
from bench.training.loop import Loop, LossLog, load_loop_state, loop_state
from methods.base import Stage, run_step

S = TypeVar("S", bound=Stage)


class StageStore:
    """Runs stages (`Context.run_stage`), each in a folder `<root>/<name>-seed<k>-<key>/` of its own.

    The key covers the data version, the stage with its version and `identity` (settings, and digests of the results of
    earlier stages), the seed and the attempt. A finished stage is read from its folder; an unfinished one resumes from
    its last checkpoint. Of several processes that want the same stage, one trains it and the others wait.
    """

    def __init__(self, root: Path, data_version: str, seed: int, runtime: Runtime) -> None:
        self.root, self.data_version, self.seed, self.runtime = root, data_version, seed, runtime
        self.seconds: dict[str, float] = {}
        """Stage -> seconds that its training took, whoever trained it."""

    def __call__(self, build: Callable[[], S], attempt: int = 0) -> S:
        """The stage that `build` constructs, finished, in eval mode. Raises TrainingFailed, Interrupted."""
        with seeded(*_streams(self.seed, attempt), "stage"):
            stage = build()
        stage.attempt = attempt
        stage.to(self.runtime.device)
        folder = self.folder(stage)
        with file_lock(folder / ".lock"):
            remove_leftover_files(folder)
            if not (folder / "stage.json").exists():
                self._run(stage, folder)
            CheckpointFolder(folder / "checkpoints").clear()
        try:
            stage.load_state_dict(read_weights_file(folder / "weights.safetensors"))
            self.seconds[_label(stage)] = float(read_json(folder / "stage.json")["seconds"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise damaged_folder_error(folder, error) from error
        return stage.eval()

    def folder(self, stage: Stage) -> Path:
        """Folder of `stage`."""
        return stage_folder(
            self.root, self.data_version, stage.name, stage.version, stage.identity(), self.seed, stage.attempt
        )

    def _run(self, stage: Stage, folder: Path) -> None:
        loop = _StageLoop(stage, self.seed, folder, self.runtime)
        stage.train()
        loop.run()
        stage.eval()
        random = seeded(*_streams(self.seed, stage.attempt), "finish", stage.name)
        with explained(f"{loop.label}: computing its results"), random, torch.no_grad():
            stage.finish()
        tensors = {name: value.detach().cpu().contiguous() for name, value in stage.state_dict().items()}
        payload = save(tensors)
        write_atomically(folder / "weights.safetensors", lambda file: file.write(payload))
        seconds = round(loop.seconds(), 2)
        record = {"name": stage.name, "version": stage.version, "seed": self.seed, "seconds": seconds}
        write_json(folder / "stage.json", {**record, "steps": stage.steps, "identity": stage.identity()})
        say(f"{loop.label}: done in {seconds:.0f} s")


def stage_folder(
    root: Path, data_version: str, name: str, version: int, identity: Mapping[str, Any], seed: int, attempt: int = 0
) -> Path:
    """Folder of the stage with this name, version and `identity` (see Stage)."""
    described = [data_version, name, version, identity, *_streams(seed, attempt)]
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
    return root / f"{name}-seed{seed}-{key}"


def _streams(seed: int, attempt: int) -> list[int | str]:
    """Parts that the random numbers of an attempt are derived from; of the first attempt, the seed alone."""
    return [seed, "attempt", attempt] if attempt else [seed]


def _label(stage: Stage) -> str:
    """The stage's name, and from the second attempt on its number, counted from 1."""
    return f"{stage.name} {stage.attempt + 1}" if stage.attempt else stage.name


class _StageLoop(Loop):
    """The training of one stage."""

    def __init__(self, stage: Stage, seed: int, folder: Path, runtime: Runtime) -> None:
        files = CheckpointFolder(folder / "checkpoints"), LossLog(folder / "log.jsonl")
        super().__init__(f"{_label(stage)} seed {seed}", stage.steps, *files, runtime)
        self.stage, self.streams = stage, _streams(seed, stage.attempt)

    def one_step(self) -> dict[str, Tensor]:
        """Minibatches from a generator of the step; dropout from the global one, seeded for the step."""
        rng = randomness(*self.streams, self.stage.name, self.step)
        with seeded(*self.streams, self.stage.name, "layers", self.step):
            return run_step(self.stage, rng, self.runtime.usual_autocast)

    def state(self) -> dict[str, Any]:
        """Networks, buffers, optimisers."""
        return loop_state(self.stage)

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        load_loop_state(self.stage, state)
