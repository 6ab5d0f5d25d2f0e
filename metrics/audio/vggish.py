"""VGGish (Hershey et al., "CNN Architectures for Large-Scale Audio Classification", 2017) in torchvggish's layout.

As Frechet audio distances are computed by audioldm_eval and av-benchmark: 128 features of every 0.96 s, without the
last ReLU, the principal components and the 8 bits that AudioSet's own features were stored with.

Shape legend: S samples, T frames of 10 ms, N whole examples of 96 frames, M = 64 mel bands.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from harmony_lit.pretrained.layout import Layout
from metrics.audio.network import Heard, SoundNetwork, load_network, to_cpu
from metrics.networks import Runtime, shared

SAMPLE_RATE_HZ, WINDOW, FFT, HOP, MELS, FRAMES = 16_000, 400, 512, 160, 64, 96
_LOWEST_HZ, _HIGHEST_HZ = 125, 7_500
_OFFSET = 0.01
_WIDTH = 128


def examples(waveform: Tensor) -> Tensor:
    """(S,) -> (N, 96, M): logarithms of mel magnitudes, cut into examples of 0.96 s; what is left over is dropped.

    Frames are not padded, so that N = (S - 400) // 160 + 1 over 96.
    """
    if len(waveform) < WINDOW:
        return torch.zeros(0, FRAMES, MELS)
    frames = waveform.double().unfold(0, WINDOW, HOP) * torch.hann_window(WINDOW, dtype=torch.float64)
    mel = torch.fft.rfft(frames, FFT).abs() @ _filters()
    whole = len(mel) // FRAMES
    return (mel + _OFFSET).log()[: whole * FRAMES].reshape(whole, FRAMES, MELS).float()


class VGGishNetwork(nn.Module):
    """Six convolutions and three dense layers; ``features`` and ``embeddings`` as published."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 1
        for widths in ((64,), (128,), (256, 256), (512, 512)):
            for width in widths:
                layers += [nn.Conv2d(inside, width, 3, padding=1), nn.ReLU()]
                inside = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * FRAMES // 16 * MELS // 16, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, _WIDTH),
        )  # fmt: skip

    def forward(self, mel: Tensor) -> Tensor:
        """(N, 96, M) -> (N, 128)."""
        # Channels last before flattening, as in the TensorFlow original.
        return self.embeddings(self.features(mel[:, None]).permute(0, 2, 3, 1).flatten(1))


class VGGish(SoundNetwork):
    """VGGish: 128 features of every whole 0.96 s, no classes."""

    title = "VGGish, 128 features per 0.96 s, no PCA, no last ReLU"
    published = "VGGish's weights (vggish-10086976.pth of harritaylor/torchvggish)"
    sample_rate_hz = SAMPLE_RATE_HZ

    @torch.inference_mode()
    def hear(self, waveform: Tensor) -> Heard:
        """See the base."""
        cut = examples(waveform)
        if not len(cut):
            return Heard(torch.zeros(0, _WIDTH))
        assert self.weights is not None
        network = shared(_load, self.weights, self.runtime)
        return Heard(to_cpu(network(cut.to(self.runtime.torch_device, self.runtime.dtype))))


LAYOUT = Layout(
    name="torchvggish",
    publisher="Google, converted by Harri Taylor",
    licence="Apache-2.0",
    part="",
    telltale={"embeddings.4.weight": (_WIDTH, 4096)},
    rename=lambda name: name,
    restore=lambda name: name,
)


def _load(weights: str, runtime: Runtime) -> nn.Module:
    with torch.device("meta"):
        network = VGGishNetwork()
    return load_network(network, weights, LAYOUT, runtime)


@cache
def _filters() -> Tensor:
    """(FFT / 2 + 1, M) float64: triangles that are straight on the mel axis, as in AudioSet's own front end."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=FFT // 2 + 1,
        num_mel_filters=MELS,
        min_frequency=_LOWEST_HZ,
        max_frequency=_HIGHEST_HZ,
        sampling_rate=SAMPLE_RATE_HZ,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return torch.from_numpy(filters).double()
