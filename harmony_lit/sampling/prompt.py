"""What a user asks for, turned into the batch that the sampler needs.

Shape legend: B batch, F pixel frames, H W pixels, S audio samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harmony_lit.containers import AudioLatents, Conditions, TextEmbeds, TokenIds, VideoLatents
from harmony_lit.encoders.prompting import Texts
from harmony_lit.guidance import Anchors
from harmony_lit.sampling.sampler import SampleRequest
from harmony_lit.system import System


@dataclass(frozen=True)
class Prompt:
    """One clip to make. Everything but the size may be left out.

    Attributes:
        video_caption: What is seen.
        audio_caption: What is heard besides speech.
        transcript: What is said.
        image: First frame, (3, H, W) uint8.
        reference_audio: The voice or sound to take the style from, (S,) at the system's rate.
        drive_audio: Sound to make a picture for, (S,).
        drive_video: Picture to make a sound for, (F, 3, H, W) uint8.
        seed: Seed of the noise.
        frames: Pixel frames, 1 + 4k.
        height: Pixels.
        width: Pixels.
    """

    video_caption: str = ""
    audio_caption: str = ""
    transcript: str = ""
    image: Tensor | None = None
    reference_audio: Tensor | None = None
    drive_audio: Tensor | None = None
    drive_video: Tensor | None = None
    seed: int = 0
    frames: int = 61
    height: int = 64
    width: int = 64

    @property
    def shape(self) -> tuple[bool, bool, int, int]:
        """What must agree within a batch: the drivers given and the picture's size. Lengths may differ."""
        return self.drive_audio is not None, self.drive_video is not None, self.height, self.width


def unit_range(pixels: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return pixels.float() / 127.5 - 1


def build_request(system: System, prompts: Sequence[Prompt]) -> SampleRequest:
    """Encodes what is given and lays out the batch.

    Raises:
        ValueError: If the prompts cannot share a batch, or a size does not fit the system.
    """
    if len({prompt.shape for prompt in prompts}) != 1:
        raise ValueError("prompts of one batch must agree in size and in what drives them")
    geometry, first = system.geometry, prompts[0]
    rows, cols = geometry.latent_size(first.height, first.width)
    video_lengths = torch.tensor([geometry.latent_frames(p.frames) for p in prompts])
    audio_lengths = torch.tensor([geometry.audio_latents(p.frames) for p in prompts])
    ragged = len({p.frames for p in prompts}) > 1
    channels = system.video_codec.channels
    video = VideoLatents(
        torch.zeros(len(prompts), channels, int(video_lengths.max()), rows, cols), video_lengths, ragged
    )
    audio_channels = system.audio_codec.channels
    audio = AudioLatents(torch.zeros(len(prompts), audio_channels, int(audio_lengths.max())), audio_lengths, ragged)
    static = video.x.clone()
    image = video.x[:, :, 0].clone()
    for row, prompt in enumerate(prompts):
        frames = geometry.latent_frames(prompt.frames)
        if prompt.image is not None:
            still = unit_range(prompt.image)[None, :, None].expand(-1, -1, prompt.frames, -1, -1)
            static[row, :, :frames] = system.video_codec.encode(still)[0]
            image[row] = system.video_codec.encode(still[:, :, :1])[0, :, 0]
        if prompt.drive_video is not None:
            pixels = unit_range(prompt.drive_video[: prompt.frames]).permute(1, 0, 2, 3)[None]
            video.x[row, :, :frames] = system.video_codec.encode(pixels)[0]
        if prompt.drive_audio is not None:
            latents = _encode_audio(system, prompt.drive_audio, geometry.samples(prompt.frames))
            size = min(latents.shape[1], geometry.audio_latents(prompt.frames))
            audio.x[row, :, :size] = latents[:, :size]
    conditions = _conditions(system, prompts, image)
    negative = [system.prompting.negative] * len(prompts)
    empty = replace(
        conditions,
        video_caption=system.text_encoder.encode([t.video_caption for t in negative]),
        audio_caption=system.text_encoder.encode([t.audio_caption for t in negative]),
        transcript=system.tokenizer.encode_batch([t.transcript for t in negative]),
    )
    mute = system.silence(audio.x.shape[2]).expand_as(audio.x).clone()
    anchors = Anchors(mute=audio.with_x(mute), static=video.with_x(static), empty=empty)
    return SampleRequest(
        video=video,
        audio=audio,
        conditions=conditions,
        anchors=anchors,
        seeds=[prompt.seed for prompt in prompts],
        video_given=first.drive_video is not None,
        audio_given=first.drive_audio is not None,
    )


def _conditions(system: System, prompts: Sequence[Prompt], image: Tensor) -> Conditions:
    texts = [system.prompting(Texts(p.video_caption, p.audio_caption, p.transcript)) for p in prompts]
    video_caption: TextEmbeds = system.text_encoder.encode([t.video_caption for t in texts])
    audio_caption: TextEmbeds = system.text_encoder.encode([t.audio_caption for t in texts])
    transcript: TokenIds = system.tokenizer.encode_batch([t.transcript for t in texts])
    return Conditions(
        video_caption=video_caption,
        audio_caption=audio_caption,
        transcript=transcript,
        reference_audio=_references(system, prompts),
        reference_image=image,
        has_image=torch.tensor([p.image is not None for p in prompts]),
    )


def _references(system: System, prompts: Sequence[Prompt]) -> AudioLatents:
    encoded = [None if p.reference_audio is None else _encode_audio(system, p.reference_audio) for p in prompts]
    lengths = torch.tensor([0 if latents is None else latents.shape[1] for latents in encoded])
    x = torch.zeros(len(prompts), system.audio_codec.channels, max(1, int(lengths.max())))
    for row, latents in enumerate(encoded):
        if latents is not None:
            x[row, :, : latents.shape[1]] = latents
    return AudioLatents(x, lengths)


def _encode_audio(system: System, samples: Tensor, length: int | None = None) -> Tensor:
    """(S,) -> (C, Ta), cut or padded with silence to ``length`` samples."""
    if length is not None:
        samples = torch.nn.functional.pad(samples[:length], (0, max(0, length - samples.shape[0])))
    hop = system.geometry.audio_hop
    whole = max(hop, samples.shape[0] // hop * hop)
    samples = torch.nn.functional.pad(samples, (0, max(0, whole - samples.shape[0])))[:whole]
    return system.audio_codec.encode(samples[None])[0]
