"""DINOv2's encoder against a forward pass written here, on a made-up checkpoint in the published layout.

The published weights are not at hand: what is tested is layout, position table, preparation and arithmetic.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_encoders import random_images
from torch import Tensor

from metrics.encoders import Dinov2Encoder, ImageEncoder
from metrics.encoders.dinov2 import Architecture, resampled_dinov2_positions

TINY = Architecture("tiny", width=128, depth=2)  # two heads of 64


def made_up_state(seed: int = 0, width: int = 128, depth: int = 2) -> dict[str, Tensor]:
    """Tensors under the names and with the relative shapes of `dinov2_vitl14_pretrain.pth`."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0, centre: float = 0.0) -> Tensor:
        return centre + scale * torch.randn(shape, generator=rng)

    state = {
        "cls_token": draw(1, 1, width),
        "pos_embed": draw(1, 1 + 37 * 37, width),
        "mask_token": draw(1, width),
        "patch_embed.proj.weight": draw(width, 3, 14, 14, scale=0.05),
        "patch_embed.proj.bias": draw(width),
        "norm.weight": draw(width, scale=0.3, centre=1),
        "norm.bias": draw(width),
    }
    for block in range(depth):
        shapes = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        shapes |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, (rows, columns) in shapes.items():
            state[f"blocks.{block}.{name}.weight"] = draw(rows, columns, scale=2 / columns**0.5)
            state[f"blocks.{block}.{name}.bias"] = draw(rows, scale=0.3)
        for name in ("1", "2"):
            state[f"blocks.{block}.norm{name}.weight"] = draw(width, scale=0.3, centre=1)
            state[f"blocks.{block}.norm{name}.bias"] = draw(width, scale=0.3)
            state[f"blocks.{block}.ls{name}.gamma"] = draw(width, scale=0.3, centre=0.5)
    return state


def save(folder: Path, state: dict[str, Tensor], name: str = "dinov2.pth") -> Path:
    torch.save(state, folder / name)
    return folder / name


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save(tmp_path, made_up_state())


# ------------------------------------------------------------------------------------------ the independent forward


def cubic_weights(a: float = -0.75) -> np.ndarray:
    """(16, 37): torch's bicubic without antialias at the scale factor 16.1 / 37, borders repeated."""
    weights = np.zeros((16, 37))
    for row, centre in enumerate((np.arange(16) + 0.5) * 37 / 16.1 - 0.5):
        for column in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            x = abs(column - centre)
            near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
            weights[row, min(max(column, 0), 36)] += near if x <= 1 else far
    return weights


def position_table(table: Tensor) -> np.ndarray:
    """(1, 1 + 37², D) -> (1 + 16², D)."""
    w, patches = cubic_weights(), table[0, 1:].double().numpy().reshape(37, 37, -1)
    resampled = np.einsum("yv,xu,vud->yxd", w, w, patches)
    return np.concatenate([table[0, :1].double().numpy(), resampled.reshape(256, -1)])


def prepared(image: np.ndarray) -> Tensor:
    """uint8 (3, H, W) -> (3, 224, 224), by Pillow's bicubic filter in float: that of torch's antialiased one."""
    channels = [Image.fromarray(c.astype(np.float32)).resize((224, 224), Image.Resampling.BICUBIC) for c in image]
    x = torch.from_numpy(np.stack([np.asarray(channel) for channel in channels])).double() / 255
    return (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def layer_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"]
        + state[f"{name}.bias"]
    )


def linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def forward(state: dict[str, Tensor], images: np.ndarray, heads: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """In float64 the class token after the last norm, (N, width), and the last block's keys (N, heads, 257, 64)."""
    positions = torch.from_numpy(position_table(state["pos_embed"]))
    state = {name: tensor.double() for name, tensor in state.items()}
    results, keys = [], []
    for image in images:
        patches = prepared(image).reshape(3, 16, 14, 16, 14).permute(1, 3, 0, 2, 4).reshape(256, -1)
        tokens = patches @ state["patch_embed.proj.weight"].reshape(len(state["cls_token"][0, 0]), -1).T
        x = torch.cat([state["cls_token"][0], tokens + state["patch_embed.proj.bias"]]) + positions  # (257, D)
        for block in (f"blocks.{i}" for i in range(2)):
            qkv = linear(layer_norm(x, state, f"{block}.norm1"), state, f"{block}.attn.qkv")
            q, k, v = qkv.reshape(257, 3, heads, -1).permute(1, 2, 0, 3)  # each (heads, 257, 64)
            attention = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
            mixed = linear(attention.permute(1, 0, 2).reshape(257, -1), state, f"{block}.attn.proj")
            x = x + state[f"{block}.ls1.gamma"] * mixed
            hidden = linear(layer_norm(x, state, f"{block}.norm2"), state, f"{block}.mlp.fc1")
            hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
            x = x + state[f"{block}.ls2.gamma"] * linear(hidden, state, f"{block}.mlp.fc2")
        results.append(layer_norm(x, state, "norm")[0].numpy())
        keys.append(k.numpy())
    return np.stack(results), np.stack(keys)


# -------------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("size", [32, 300])
def test_equals_a_forward_pass_written_here(weights: Path, size: int) -> None:
    images = random_images(0, 2, size)
    encoder = Dinov2Encoder(weights, architecture=TINY)
    features, (expected, _) = encoder(images), forward(made_up_state(), images)
    assert features.shape == (2, 128)
    assert features.dtype == np.float32
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * np.abs(expected).max()  # images are told apart
    assert np.abs(features - expected).max() <= 1e-5 * np.abs(expected).max()


def test_structure_distance_equals_one_computed_here(weights: Path) -> None:
    """From the keys of the forward pass written here, token by token; whatever the batch, and 0 of an image itself."""
    x, y = random_images(3, 3, 40), random_images(4, 3, 40)
    y[2] = x[2]
    encoder, seen = Dinov2Encoder(weights, architecture=TINY), list[int]()
    distances = encoder.structure_distances(x, y, batch_size=2, progress=seen.append)
    assert seen == [2, 1]
    for row, (_, keys) in enumerate(forward(made_up_state(), np.stack(pair)) for pair in zip(x, y, strict=True)):
        of_source, of_translation = (image.transpose(1, 0, 2).reshape(257, 128) for image in keys)  # heads in order
        difference = np.array(
            [
                [
                    cosine(of_source[i], of_source[j]) - cosine(of_translation[i], of_translation[j])
                    for j in range(0, 257, 8)
                ]
                for i in range(257)
            ]
        )  # every eighth column: 33 of 257
        ours = encoder.keys(np.stack([x[row], y[row]]))
        assert ours[0] == pytest.approx(of_source, abs=1e-4 * np.abs(of_source).max())
        matrices = [k / np.linalg.norm(k, axis=1, keepdims=True) for k in (of_source, of_translation)]
        whole = matrices[0] @ matrices[0].T - matrices[1] @ matrices[1].T
        assert whole[:, ::8].ravel() == pytest.approx(np.array(difference).ravel(), abs=1e-12)
        assert distances[row] == pytest.approx(np.mean(whole**2), rel=1e-4, abs=1e-9)
    assert distances[:2].min() > 1e-4
    assert distances == pytest.approx(encoder.structure_distances(x, y), rel=1e-4, abs=1e-9)
    with pytest.raises(ValueError, match="images of the same shape wanted"):
        encoder.structure_distances(x, y[:2])
    with pytest.raises(ValueError, match="uint8 in 0"):
        encoder.structure_distances(x / 255, y / 255)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


def test_position_table_is_resampled_as_the_publisher_does() -> None:
    table = made_up_state()["pos_embed"]
    expected = position_table(table)
    assert np.abs(resampled_dinov2_positions(table, 16)[0].numpy() - expected).max() < 1e-4
    # What the two differences from timm's resampling amount to, on a smooth table as trained ones are.
    smooth = torch.linspace(0, 1, 37)[:, None] * torch.linspace(-1, 1, 37)[None]
    smooth = torch.cat([torch.zeros(1, 1, 1), smooth.reshape(1, -1, 1)], dim=1)
    from timm.layers import resample_abs_pos_embed

    by_timm = resample_abs_pos_embed(smooth, [16, 16], num_prefix_tokens=1)
    assert (resampled_dinov2_positions(smooth, 16) - by_timm).abs().max() > 1e-3


def test_interface(weights: Path) -> None:
    encoder = Dinov2Encoder(weights, architecture=TINY)
    assert isinstance(encoder, ImageEncoder)
    assert (encoder.name, encoder.width) == ("dinov2-tiny-bicubic-224", 128)
    images, seen = random_images(1, 5, 40), list[int]()
    features = encoder(images, batch_size=3, progress=seen.append)
    assert seen == [3, 2]
    assert encoder(torch.from_numpy(images)) == pytest.approx(features, abs=1e-5)
    with pytest.raises(ValueError, match=r"uint8 in 0\.\.255 wanted, got float32"):
        encoder(images.astype(np.float32))
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\) wanted, got \(3, 40, 40\)"):
        encoder(images[0])


def test_identity_is_that_of_the_tensors_in_use(weights: Path, tmp_path: Path) -> None:
    identity = Dinov2Encoder(weights, architecture=TINY).identity
    state = made_up_state()
    del state["mask_token"]
    assert Dinov2Encoder(save(tmp_path, state, "less.pth"), architecture=TINY).identity == identity
    state["blocks.1.ls2.gamma"][7] += 1
    assert Dinov2Encoder(save(tmp_path, state, "other.pth"), architecture=TINY).identity != identity


def test_wrong_weights_are_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        Dinov2Encoder(tmp_path / "absent.pth")
    with pytest.raises(
        ValueError, match=r"dinov2\.pth: not the weights of DINOv2 vitl14: .*blocks\.0\.attn\.proj\.bias"
    ):
        Dinov2Encoder(weights)
    (tmp_path / "torn.pth").write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"torn\.pth: not a readable PyTorch file"):
        Dinov2Encoder(tmp_path / "torn.pth", architecture=TINY)
    registers = save(tmp_path, made_up_state() | {"register_tokens": torch.zeros(1, 4, 128)}, "registers.pth")
    with pytest.raises(ValueError, match=r"1 tensors differ, the first is register_tokens: none wanted, got \(1, 4,"):
        Dinov2Encoder(registers, architecture=TINY)
    small = save(tmp_path, made_up_state() | {"pos_embed": torch.zeros(1, 257, 128)}, "small.pth")
    with pytest.raises(ValueError, match=r"pos_embed: \(1, 1370, 128\) wanted, got \(1, 257, 128\)"):
        Dinov2Encoder(small, architecture=TINY)


def test_is_built_offline_and_in_silence(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    before = torch.random.get_rng_state()
    Dinov2Encoder(weights, architecture=TINY)(random_images(2, 1, 16))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_timm_that_lacks_something_itself_says_what(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then `pip install udt-bench[dinov2]` would not help."""
    for name in [name for name in sys.modules if name == "timm" or name.startswith("timm.")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("import a_package_that_timm_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'a_package_that_timm_needs'$"):
        Dinov2Encoder(weights, architecture=TINY)


def test_without_timm_the_error_says_what_to_install(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "timm" or name.startswith("timm.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'udt-bench\[dinov2\]'"):
        Dinov2Encoder(weights, architecture=TINY)
