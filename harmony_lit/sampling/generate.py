"""Prompts to clips: batches what may share a batch, samples, decodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from harmony_lit.containers import AudioLatents, Clip, VideoLatents
from harmony_lit.guidance import Denoiser
from harmony_lit.sampling.prompt import Prompt, build_request
from harmony_lit.sampling.sampler import Sampler
from harmony_lit.system import System


def generate(
    system: System,
    denoise: Denoiser,
    sampler: Sampler,
    prompts: Sequence[Prompt],
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Clip]]:
    """Samples every prompt and yields (index of the prompt, clip) batch by batch.

    What drives a clip comes back as it was given, not through the codec.

    Args:
        system: Codecs, encoders and geometry.
        denoise: The model.
        sampler: Steps, solver and guidance.
        prompts: What to make; the order of the results is by batch, not that of the prompts.
        batch_size: Largest batch.
        device: Where the model runs.
        on_step: Called with (clips of the batch, finished steps) after every step.
    """
    groups: dict[tuple[bool, bool, int, int], list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(prompt.shape, []).append(index)
    for indices in groups.values():
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            yield from _batch(system, denoise, sampler, prompts, chosen, device, on_step)


def _batch(
    system: System,
    denoise: Denoiser,
    sampler: Sampler,
    prompts: Sequence[Prompt],
    chosen: Sequence[int],
    device: torch.device | str,
    on_step: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, Clip]]:
    request = build_request(system, [prompts[i] for i in chosen])
    system.text_encoder.release()
    request = request.to(device)
    video, audio = sampler.sample(denoise, request, None if on_step is None else lambda n: on_step(len(chosen), n))
    for index, clip in zip(chosen, decode(system, video, audio), strict=True):
        yield index, _with_drivers(clip, prompts[index])


def decode(system: System, video: VideoLatents, audio: AudioLatents) -> list[Clip]:
    """Latents to clips, each cut to its own length; the sound lasts as long as the picture."""
    geometry = system.geometry
    pixels = system.video_codec.decode(video.x.float().cpu())
    samples = system.audio_codec.decode(audio.x.float().cpu())
    clips = []
    for row, frames in enumerate(int(n) for n in video.lengths):
        count = geometry.pixel_frames(frames)
        picture = ((pixels[row, :, :count].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 0, 2, 3)
        size = geometry.samples(count)
        heard = samples[row, : min(size, int(audio.lengths[row]) * geometry.audio_hop)]
        sound = torch.nn.functional.pad(heard, (0, size - heard.shape[0]))
        clips.append(Clip(picture.contiguous(), sound.float().contiguous(), geometry.fps, geometry.sample_rate_hz))
    return clips


def _with_drivers(clip: Clip, prompt: Prompt) -> Clip:
    video, audio = clip.video, clip.audio
    if prompt.drive_video is not None:
        video = prompt.drive_video[: video.shape[0]]
    if prompt.drive_audio is not None:
        given = prompt.drive_audio[: audio.shape[0]]
        audio = torch.nn.functional.pad(given, (0, audio.shape[0] - given.shape[0]))
    return Clip(video, audio, clip.fps, clip.sample_rate_hz)
