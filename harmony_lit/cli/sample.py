"""``harmony sample``: make clips with a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harmony_lit.cli.arguments import Commands, add_command
from harmony_lit.cli.cases import Case, read_case_file
from harmony_lit.errors import UserError, nearest
from metrics.bench.cases import table_path

if TYPE_CHECKING:
    from harmony_lit.experiment.load import LoadedRun
    from harmony_lit.sampling import Prompt, Sampler

GUIDANCES = {"none": "NoGuidance", "modality_cfg": "ModalityCFG", "sync_cfg": "SyncCFG"}


def register(commands: Commands) -> None:
    """Adds the subcommand."""
    parser = add_command(
        commands,
        "sample",
        "make clips with a trained model",
        """
        Make a clip, or one for every line of a cases file, with the model of a run folder or checkpoint.

          harmony sample runs/quickstart --prompt "a wooden ball bounces" --audio-prompt "wooden knocks" -o ball.mp4
          harmony sample runs/quickstart --transcript "red moon" --reference-audio voice.wav --image face.png -o say.mp4
          harmony sample runs/quickstart --prompt "a steel ball bounces" --audio drive.wav -o from_sound.mp4
          harmony sample runs/quickstart --audio-prompt "steel rings" --video drive.mp4 -o from_picture.mp4
          harmony sample runs/quickstart --cases cases.jsonl -o clips/
          harmony sample runs/mine --cases harmony -o clips/

        A cases file holds one JSON object a line, with the long options as keys ("prompt", "audio_prompt",
        "transcript", "reference_audio", "image", "audio", "video", "seed", "frames") and "key" to name the clip.
        A bench's table of cases is one too, and `harmony` names that of Harmony-Bench, which comes with the package.
        Pictures are scaled and cropped to the clip's size; sounds are resampled.
        """,
        run,
    )
    parser.add_argument("run_path", type=Path, metavar="RUN", help="a run folder, a stage's folder, or a checkpoint")
    told = parser.add_argument_group("what the clip shows and sounds like (each may be left out)")
    told.add_argument("--prompt", default="", help="what is seen")
    told.add_argument("--audio-prompt", default="", help="what is heard besides speech")
    told.add_argument("--transcript", default="", help="what is said")
    told.add_argument("--reference-audio", metavar="WAV", help="whose voice, or what kind of sound")
    told.add_argument("--image", metavar="PNG", help="the first frame")
    driver = told.add_mutually_exclusive_group()
    driver.add_argument("--audio", metavar="WAV", help="make a picture to this sound (a wav, or an mp4's sound)")
    driver.add_argument("--video", metavar="MP4", help="make sound to this picture")
    driver.add_argument(
        "--cases", type=Path, metavar="JSONL", help="many cases, one a line (or `harmony`); -o is then a folder"
    )
    how = parser.add_argument_group("how it is sampled (defaults: the experiment's `sampling`)")
    how.add_argument("--stage", help="weights of this stage (default: the last that has any)")
    how.add_argument("--seed", type=int, default=0, help="seed of the noise (default 0)")
    how.add_argument("--steps", type=int, help="steps of the solver")
    how.add_argument("--guidance", metavar="NAME", help=f"{', '.join(GUIDANCES)}, or the class_path of another")
    how.add_argument("--frames", type=int, help="pixel frames, 1 + 4k")
    how.add_argument("--batch-size", type=int, default=8, help="clips at once; changes nothing but speed and memory")
    how.add_argument(
        "--offload", action="store_true", help="keep layers off the accelerator until they work: less memory, slower"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="an mp4, or a folder for --cases")


def run(arguments: argparse.Namespace) -> None:
    """Reads what is asked for, then builds the model, samples and writes."""
    cases = _cases(arguments)
    targets = _targets(arguments, cases)
    guidance = _guidance(arguments.guidance)
    if arguments.batch_size < 1 or (arguments.steps is not None and arguments.steps < 1):
        raise UserError("--batch-size and --steps must be at least 1")

    import torch
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from data.media import write_mp4
    from harmony_lit.experiment.load import load_run
    from harmony_lit.experiment.memory import sampling_need, tell
    from harmony_lit.sampling import generate
    from metrics.bench.studio import autocast

    overrides = [] if guidance is None else [f"sampling.init_args.guidance.class_path={guidance}"]
    if arguments.steps is not None:
        overrides.append(f"sampling.init_args.steps={arguments.steps}")
    if arguments.offload:
        overrides.append("sampling.init_args.offload=true")
    loaded = load_run(arguments.run_path, arguments.stage, overrides)
    prompts = [_prompt(case, loaded, arguments.frames) for case in cases]
    sampler = loaded.sampler()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _say(loaded, sampler, prompts)
    tell(sampling_need(loaded.experiment, loaded.module, loaded.stage, min(arguments.batch_size, len(prompts))))
    network = loaded.network_on(device)
    with Progress(TextColumn("sampling"), BarColumn(), TextColumn("ETA"), TimeRemainingColumn()) as progress:
        task = progress.add_task("sampling", total=len(prompts) * sampler.steps)
        made = generate(
            loaded.system,
            autocast(network, loaded.precision, device),
            sampler,
            prompts,
            arguments.batch_size,
            device,
            on_step=lambda clips, step: progress.advance(task, clips),
        )
        for index, clip in made:
            targets[index].parent.mkdir(parents=True, exist_ok=True)
            write_mp4(targets[index], clip)
    print("\n".join(map(str, targets)))


def _cases(arguments: argparse.Namespace) -> list[Case]:
    single = {
        name: getattr(arguments, name)
        for name in ("prompt", "audio_prompt", "transcript", "reference_audio", "image", "audio", "video")
        if getattr(arguments, name)
    }
    if arguments.cases is None:
        return [Case(key=arguments.out.stem, seed=arguments.seed, **single)]
    if single:
        raise UserError(f"--cases brings its own {next(iter(single))}: write it into the file instead")
    return read_case_file(table_path(arguments.cases))


def _targets(arguments: argparse.Namespace, cases: list[Case]) -> list[Path]:
    out: Path = arguments.out
    if arguments.cases is not None:
        if out.is_file():
            raise UserError(f"{out} is a file; with --cases, -o names a folder")
        return [out / f"{case.key}.mp4" for case in cases]
    if out.suffix != ".mp4":
        raise UserError(f"-o {out}: name the clip, such as {out}.mp4")
    return [out]


def _guidance(name: str | None) -> str | None:
    if name is None or "." in name:
        return name
    if name not in GUIDANCES:
        raise UserError(f"--guidance {name}: there is no such guidance.{nearest(name, GUIDANCES)}")
    return f"harmony_lit.guidance.{GUIDANCES[name]}"


def _prompt(case: Case, loaded: LoadedRun, frames: int | None) -> Prompt:
    """A case with its files read, at the system's rates and the experiment's size."""
    from data.media import read_audio, read_clip
    from harmony_lit.sampling import Prompt

    size, geometry = loaded.clip_size(), loaded.system.geometry
    wanted = case.frames or frames or size[0]
    geometry.latent_frames(wanted)  # refuses what is not 1 + 4k before anything is made
    video = None
    if case.video:
        video = read_clip(case.video, geometry.fps, size=size[1:], require_audio=False).video
        if len(video) < wanted:
            wanted = geometry.floor_frames(len(video))
    audio = read_audio(case.audio, geometry.sample_rate_hz) if case.audio else None
    reference = read_audio(case.reference_audio, geometry.sample_rate_hz) if case.reference_audio else None
    image = read_clip(case.image, geometry.fps, size=size[1:], require_audio=False).video[0] if case.image else None
    return Prompt(
        video_caption=case.prompt,
        audio_caption=case.audio_prompt,
        transcript=case.transcript,
        image=image,
        reference_audio=reference,
        drive_audio=audio,
        drive_video=video,
        seed=case.seed,
        frames=wanted,
        height=size[1],
        width=size[2],
    )


def _say(loaded: LoadedRun, sampler: Sampler, prompts: list[Prompt]) -> None:
    calls = sampler.model_calls(prompts[0].drive_video is not None, prompts[0].drive_audio is not None)
    print(
        f"{len(prompts)} clip(s) from stage {loaded.stage} with {type(sampler.guidance).__name__}: "
        f"{sampler.steps} steps, {calls} model calls each"
    )
