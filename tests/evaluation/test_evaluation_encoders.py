"""What cells are scored with: an encoder that is there, or what to type to have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eval_toys import make_data
from tiny import TINY

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.evaluation import encoders as encoders_module
from bench.evaluation.encoders import Encoders, MissingEncoder, make_encoders
from bench.spec.protocols import PROTOCOLS, select_protocols


def real_encoders(root: Path, protocols: tuple[str, ...] = ()) -> Encoders:
    return make_encoders(root, make_data(), TINY, Runtime("cpu", 8), protocols)


def find_at(monkeypatch: pytest.MonkeyPatch, path: Path | None) -> None:
    monkeypatch.setattr(encoders_module, "locate_weights", lambda name: path)


def test_every_protocol_has_an_encoder_or_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_at(monkeypatch, None)
    encoders = real_encoders(tmp_path, tuple(PROTOCOLS))
    wanted = {protocol.encoder for protocol in encoders.protocols} - {"judge", "pixels", "categories"}
    remedies = {name: encoders.encoder(name, 1) for name in wanted}
    assert all(isinstance(remedy, MissingEncoder) for remedy in remedies.values())
    groups = {"dinov2": "dinov2", "alexnet": "alexnet"}
    assert {name: remedy.remedy for name, remedy in remedies.items()} == {
        name: f"needs: bench fetch {groups.get(name, 'inception')}" for name in wanted
    }
    assert encoders.measurable({"fid-judge-v1", "fid-clean-v1"})
    assert encoders.measurable({"ndb-pixels-v1"})
    assert not encoders.measurable({"fid-clean-v1", "lpips-alexnet-v1"})


def test_the_network_that_several_encoders_share_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        read = 0

        def __init__(self, *arguments: Any) -> None:
            Network.read += 1

        def in_bfloat16(self) -> str:
            return "rounded"

    find_at(monkeypatch, tmp_path)
    monkeypatch.setattr(encoders_module, "InceptionNetwork", Network)
    monkeypatch.setattr(encoders_module, "InceptionEncoder", lambda network, preparation: (network, preparation))
    encoders = real_encoders(tmp_path, tuple(PROTOCOLS))
    names = ["inception", "inception-bf16", "inception-pytorch", "inception-clean"]
    by_name = {name: encoders.encoder(name, 1) for name in names}
    assert Network.read == 1
    assert by_name["inception-bf16"] == ("rounded", encoders_module.TF1)
    assert [by_name[name][1] for name in names[2:]] == [encoders_module.PYTORCH, encoders_module.CLEAN]
    assert encoders.encoder("inception", 0) is by_name["inception"]


def test_damaged_weights_and_a_missing_package_say_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*arguments: Any) -> None:
        raise ModuleNotFoundError("DINOv2 needs timm: pip install 'udt-bench[dinov2]'", name="timm")

    damaged = tmp_path / "alexnet.pth"
    damaged.write_bytes(b"not weights")
    find_at(monkeypatch, damaged)
    monkeypatch.setattr(encoders_module, "Dinov2Encoder", lacks)
    encoders = real_encoders(tmp_path, ("fd-dinov2-v1",))
    assert encoders.encoder("dinov2", 1) == MissingEncoder("needs: pip install 'udt-bench[dinov2]'")
    with pytest.raises(BenchError, match="damaged or other weights") as caught:
        encoders.encoder("alexnet", 1)
    assert "then: bench fetch alexnet" in str(caught.value)


def test_an_unknown_protocol_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="unknown protocol 'fid-claen-v1'") as caught:
        real_encoders(tmp_path, ("fid-claen-v1",))
    assert "fid-clean-v1" in str(caught.value)
    names = [protocol.name for protocol in select_protocols(["fid-clean-v1"])]
    assert "fid-clean-v1" in names
    assert "fid-pytorch-v1" not in names  # on request only
