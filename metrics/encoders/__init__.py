"""Encoders: images to float32 features, by networks that are named, hashed, frozen and in evaluation mode.

Images enter every encoder as uint8, so a wrong range cannot pass in silence (the most frequent defect of LPIPS and FID
values that users report); the one way in for floats declares its range and refuses what lies outside. Each encoder
makes its own range and size in one place. Nothing here opens a socket.
"""

from metrics.encoders.base import Advance, ImageEncoder, Images, encoder_identity
from metrics.encoders.dinov2 import Dinov2Encoder
from metrics.encoders.inception import CLEAN, PYTORCH, TF1, InceptionEncoder, InceptionNetwork, Preparation
from metrics.encoders.judge import JudgeEncoder
from metrics.encoders.lpips_alexnet import LpipsAlexNet

__all__ = [
    "CLEAN",
    "PYTORCH",
    "TF1",
    "Advance",
    "Dinov2Encoder",
    "ImageEncoder",
    "Images",
    "InceptionEncoder",
    "InceptionNetwork",
    "JudgeEncoder",
    "LpipsAlexNet",
    "Preparation",
    "encoder_identity",
]
