"""The judge's network: CatS-UDT's evaluation classifier, a pre-activation Wide ResNet (Zagoruyko & Komodakis 2016)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class WideResNet(nn.Module):
    """Stem 3 -> 16, three groups of `(depth - 4) / 6` blocks with strides 1, 2, 2, BN-ReLU, average pool, linear.

    Input (B, 3, H, W) in [0, 1] of any size from 16 px. `depth=16, widen=8, classes=10` has 10,961,370 parameters.
    """

    def __init__(self, depth: int = 16, widen: int = 8, classes: int = 10, dropout: float = 0.4) -> None:
        """`dropout`: between the two convolutions of a block. ValueError for a depth that is not 6k + 4, k >= 1."""
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth: 6k + 4 with k >= 1 wanted (10, 16, 22, 28, ...), got {depth}")
        if widen < 1 or classes < 2 or not 0 <= dropout < 1:
            given = f"got widen={widen}, classes={classes}, dropout={dropout}"
            raise ValueError(f"widen >= 1, classes >= 2, 0 <= dropout < 1 wanted, {given}")
        self.width = 64 * widen
        widths = (16, 16 * widen, 32 * widen, 64 * widen)
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.groups = nn.Sequential()
        for inputs, outputs, stride in zip(widths, widths[1:], (1, 2, 2), strict=False):
            first = Block(inputs, outputs, stride, dropout)
            rest = (Block(outputs, outputs, 1, dropout) for _ in range((depth - 4) // 6 - 1))
            self.groups.append(nn.Sequential(first, *rest))
        self.norm = nn.BatchNorm2d(self.width)
        self.linear = nn.Linear(self.width, classes)
        self._initialise()

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> the penultimate features (B, 64 * widen), >= 0."""
        x = self.groups(self.stem(x))  # (B, 64 * widen, H/4, W/4)
        return F.relu(self.norm(x)).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, classes)."""
        return self.linear(self.features(x))

    def _initialise(self) -> None:
        """Convolutions Kaiming-normal over the fan-out; BatchNorm 1 and 0 as constructed; the linear layer's bias 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)


class Block(nn.Module):
    """BN-ReLU-conv, BN-ReLU-dropout-conv, plus the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = inputs != outputs or stride != 1
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        active = F.relu(self.norm1(x))
        # Where the shape changes, the shortcut reads the activated input; elsewhere it is the plain input.
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return shortcut + self.conv2(self.dropout(F.relu(self.norm2(self.conv1(active)))))
