"""The fixed parts around the model: geometry, codecs and the caption encoder, checked against one another.

A ``System`` is a plain class, never part of an ``nn.Module`` tree: checkpoints, optimisers and the EMA callback, which
deep-copies the LightningModule, must not see pretrained weights that never change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmony_lit.codecs.base import AudioCodec, VideoCodec
from harmony_lit.encoders.base import TextEncoder, TranscriptTokenizer
from harmony_lit.encoders.prompting import Prompting, SeparateTexts
from harmony_lit.encoders.transcript import CharTokenizer
from harmony_lit.geometry import Geometry


class System:
    """Geometry, codecs and caption encoder that belong together.

    Args:
        geometry: Rates and strides that the whole experiment shares.
        video_codec: Pixels to latents; its stride must be the geometry's.
        audio_codec: Samples to latents; its hop and sample rate must be the geometry's.
        text_encoder: Captions to embeddings.
        tokenizer: Transcripts to ids; English characters by default.
        prompting: How the texts of a clip become what each branch reads; each its own by default.

    Raises:
        ValueError: If a codec's rate or stride differs from the geometry's.
    """

    def __init__(
        self,
        geometry: Geometry,
        video_codec: VideoCodec,
        audio_codec: AudioCodec,
        text_encoder: TextEncoder,
        tokenizer: TranscriptTokenizer | None = None,
        prompting: Prompting | None = None,
    ) -> None:
        pairs = (
            ("video_codec.stride", tuple(video_codec.stride), "video_stride", tuple(geometry.video_stride)),
            ("audio_codec.hop", audio_codec.hop, "audio_hop", geometry.audio_hop),
            ("audio_codec.sample_rate_hz", audio_codec.sample_rate_hz, "sample_rate_hz", geometry.sample_rate_hz),
        )
        for path, found, name, expected in pairs:
            if found != expected:
                raise ValueError(
                    f"system.{path} is {found} but system.geometry.{name} is {expected}: "
                    "set the geometry to the codec's value, or choose another codec"
                )
        self.geometry = geometry
        self.video_codec = video_codec
        self.audio_codec = audio_codec
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer or CharTokenizer()
        self.prompting = prompting or SeparateTexts()

    def silence(self, latents: int) -> Tensor:
        """The audio codec's encoding of digital silence, (C, ``latents``): SyncCFG's mute anchor."""
        return self.audio_codec.encode(torch.zeros(1, latents * self.geometry.audio_hop))[0, :, :latents]

    def fingerprints(self) -> dict[str, str]:
        """Digest of each part that shapes latents or embeddings, by the names that manifests use.

        The tokenizer is not among them: shards keep transcripts as text, which is tokenised when a batch is made.
        """
        return {
            "video_codec": self.video_codec.fingerprint,
            "audio_codec": self.audio_codec.fingerprint,
            "text_encoder": " ".join(filter(None, [self.text_encoder.fingerprint, self.prompting.fingerprint])),
        }
