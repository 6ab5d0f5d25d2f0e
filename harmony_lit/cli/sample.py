"""``harmony sample``: make clips with a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmony_lit.cli.arguments import Commands, add_command


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

        A cases file holds one JSON object a line, with the long options as keys ("prompt", "audio_prompt",
        "transcript", "reference_audio", "image", "audio", "video", "seed", "frames") and "key" to name the clip.
        """,
        run,
    )
    parser.add_argument("run_path", type=Path, metavar="RUN", help="a run folder, a stage's folder, or a checkpoint")
    told = parser.add_argument_group("what the clip shows and sounds like (each may be left out)")
    told.add_argument("--prompt", default="", help="what is seen")
    told.add_argument("--audio-prompt", default="", help="what is heard besides speech")
    told.add_argument("--transcript", default="", help="what is said")
    told.add_argument("--reference-audio", type=Path, metavar="WAV", help="whose voice, or what kind of sound")
    told.add_argument("--image", type=Path, metavar="PNG", help="the first frame")
    driver = told.add_mutually_exclusive_group()
    driver.add_argument("--audio", type=Path, metavar="WAV", help="make a picture to this sound")
    driver.add_argument("--video", type=Path, metavar="MP4", help="make sound to this picture")
    driver.add_argument("--cases", type=Path, metavar="JSONL", help="many cases, one a line; -o is then a folder")
    how = parser.add_argument_group("how it is sampled (defaults: the experiment's `sampling`)")
    how.add_argument("--stage", help="weights of this stage (default: the last that is done)")
    how.add_argument("--seed", type=int, default=0)
    how.add_argument("--steps", type=int, help="steps of the solver")
    how.add_argument("--guidance", metavar="NAME", help="none, modality_cfg or sync_cfg")
    how.add_argument("--frames", type=int, help="pixel frames, 1 + 4k")
    how.add_argument("--batch-size", type=int, default=8, help="cases at once; changes nothing but speed")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="an mp4, or a folder for --cases")


def run(arguments: argparse.Namespace) -> None:
    """Samples."""
    raise NotImplementedError
