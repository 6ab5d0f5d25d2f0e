"""PANNs' Cnn14 at 16 kHz (Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks", 2020).

The published names: ``conv_block1`` to ``conv_block6`` of two 3x3 convolutions each, ``fc1``, ``fc_audioset``. The
published file also holds the Fourier and mel matrices of its front end, which are made here.

Shape legend: S samples, T frames of 10 ms, M = 64 mel bands.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmony_lit.pretrained.layout import Layout
from metrics.audio.network import Heard, SoundNetwork, load_network, to_cpu
from metrics.networks import Runtime, shared

SAMPLE_RATE_HZ, WINDOW, HOP, MELS = 16_000, 512, 160, 64
_LOWEST_HZ, _HIGHEST_HZ = 50, 8_000
_QUIET_POWER = 1e-10
_WIDTHS = (1, 64, 128, 256, 512, 1024, 2048)
_CLASSES = 527
_SHORTEST = 31 * HOP  # 32 frames, which five halvings leave one of
_FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")


def log_mel(waveform: Tensor) -> Tensor:
    """(S,) -> (T, M) in decibels: periodic Hann window, centred and mirrored, power, Slaney's mel scale and area."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(waveform, WINDOW, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum.real**2 + spectrum.imag**2
    return 10 * (_filters() @ power).clamp_min(_QUIET_POWER).log10().T


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, T, M) -> (B, outside, T, M)."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Cnn14(nn.Module):
    """Mel bands to a feature vector and to AudioSet's classes."""

    def __init__(self) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(MELS)
        for index in range(1, len(_WIDTHS)):
            setattr(self, f"conv_block{index}", ConvBlock(_WIDTHS[index - 1], _WIDTHS[index]))
        self.fc1 = nn.Linear(_WIDTHS[-1], _WIDTHS[-1])
        self.fc_audioset = nn.Linear(_WIDTHS[-1], _CLASSES)

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, M) -> features (B, 2048), the last ones before the classes, and logits (B, 527)."""
        x = self.bn0(bands[:, None].transpose(1, 3)).transpose(1, 3)
        for index in range(1, len(_WIDTHS)):
            x = getattr(self, f"conv_block{index}")(x)
            if index < len(_WIDTHS) - 1:
                x = F.avg_pool2d(x, 2)
        x = x.mean(dim=3)
        features = F.relu(self.fc1(x.amax(dim=2) + x.mean(dim=2)))
        return features, self.fc_audioset(features)


class PANNs(SoundNetwork):
    """Cnn14 trained on AudioSet at 16 kHz: 2048 features and 527 classes of the whole sound."""

    title = "PANNs Cnn14 (16 kHz), 2048 features before the classes"
    published = "PANNs' weights (Cnn14_16k_mAP=0.438.pth, zenodo.org/records/3987831)"
    sample_rate_hz = SAMPLE_RATE_HZ
    classes = _CLASSES

    @torch.inference_mode()
    def hear(self, waveform: Tensor) -> Heard:
        """See the base."""
        if len(waveform) < _SHORTEST:
            return Heard(torch.zeros(0, _WIDTHS[-1]))
        assert self.weights is not None
        network = shared(_load, self.weights, self.runtime)
        features, logits = network(log_mel(waveform)[None].to(self.runtime.torch_device, self.runtime.dtype))
        return Heard(to_cpu(features), to_cpu(logits[0]))


LAYOUT = Layout(
    name="panns-cnn14",
    publisher="Qiuqiang Kong et al.",
    licence="CC BY 4.0",
    part="",
    telltale={"fc_audioset.weight": (_CLASSES, _WIDTHS[-1]), "conv_block6.conv2.weight": (2048, 2048, 3, 3)},
    rename=lambda name: None if name.startswith(_FRONT_END) else name,
    restore=lambda name: name,
)


def _load(weights: str, runtime: Runtime) -> nn.Module:
    with torch.device("meta"):
        network = Cnn14()
    return load_network(network, weights, LAYOUT, runtime)


@cache
def _filters() -> Tensor:
    """(M, WINDOW / 2 + 1)."""
    from librosa.filters import mel

    return torch.from_numpy(mel(sr=SAMPLE_RATE_HZ, n_fft=WINDOW, n_mels=MELS, fmin=_LOWEST_HZ, fmax=_HIGHEST_HZ))
