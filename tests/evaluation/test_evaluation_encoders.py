"""What cells are scored with: an encoder that is there, or what to type to have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eval_toys import make_data
from tiny import TINY

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.evaluation import encoders as instruments
from bench.evaluation.encoders import Instruments, Missing, make_instruments
from bench.spec.protocols import PROTOCOLS, select


def made(root: Path, protocols: tuple[str, ...] = ()) -> Instruments:
    return make_instruments(root, make_data(), TINY, Runtime("cpu", 8), protocols)


def found(monkeypatch: pytest.MonkeyPatch, path: Path | None) -> None:
    monkeypatch.setattr(instruments, "find_weights", lambda name: path)


def test_every_protocol_has_an_encoder_or_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, None)
    tools = made(tmp_path, tuple(PROTOCOLS))
    wanted = {protocol.encoder for protocol in tools.protocols} - {"judge", "pixels"}
    remedies = {name: tools.encoder(name, 1) for name in wanted}
    assert all(isinstance(remedy, Missing) for remedy in remedies.values())
    groups = {"dinov2": "dinov2", "alexnet": "alexnet"}
    assert {name: remedy.remedy for name, remedy in remedies.items()} == {
        name: f"needs: bench fetch {groups.get(name, 'inception')}" for name in wanted
    }
    assert tools.measurable({"fid-judge-v1", "fid-clean-v1"})
    assert tools.measurable({"ndb-pixels-v1"})
    assert not tools.measurable({"fid-clean-v1", "lpips-alexnet-v1"})


def test_the_network_that_several_encoders_share_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        read = 0

        def __init__(self, *arguments: Any) -> None:
            Network.read += 1

        def in_bfloat16(self) -> str:
            return "rounded"

    found(monkeypatch, tmp_path)
    monkeypatch.setattr(instruments, "InceptionNetwork", Network)
    monkeypatch.setattr(instruments, "InceptionEncoder", lambda network, preparation: (network, preparation))
    tools = made(tmp_path, tuple(PROTOCOLS))
    names = ["inception", "inception-bf16", "inception-pytorch", "inception-clean"]
    encoders = {name: tools.encoder(name, 1) for name in names}
    assert Network.read == 1
    assert encoders["inception-bf16"] == ("rounded", instruments.TF1)
    assert [encoders[name][1] for name in names[2:]] == [instruments.PYTORCH, instruments.CLEAN]
    assert tools.encoder("inception", 0) is encoders["inception"]


def test_damaged_weights_and_a_missing_package_say_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*arguments: Any) -> None:
        raise ModuleNotFoundError("DINOv2 needs timm: pip install 'udt-bench[dinov2]'", name="timm")

    damaged = tmp_path / "alexnet.pth"
    damaged.write_bytes(b"not weights")
    found(monkeypatch, damaged)
    monkeypatch.setattr(instruments, "Dinov2Encoder", lacks)
    tools = made(tmp_path, ("fd-dinov2-v1",))
    assert tools.encoder("dinov2", 1) == Missing("needs: pip install 'udt-bench[dinov2]'")
    with pytest.raises(BenchError, match="damaged or other weights") as caught:
        tools.encoder("alexnet", 1)
    assert "then: bench fetch alexnet" in str(caught.value)


def test_an_unknown_protocol_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="unknown protocol 'fid-claen-v1'") as caught:
        made(tmp_path, ("fid-claen-v1",))
    assert "fid-clean-v1" in str(caught.value)
    names = [protocol.name for protocol in select(["fid-clean-v1"])]
    assert "fid-clean-v1" in names
    assert "fid-pytorch-v1" not in names  # on request only
