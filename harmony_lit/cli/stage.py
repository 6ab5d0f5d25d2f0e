"""Trains one stage of a prepared run: the body of a stage's process, and the script of its other ranks."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from harmony_lit.cli.guard import guarded


def main(argv: list[str] | None = None) -> int:
    """Trains one stage of a prepared run; exit code 1 if it stopped before its last step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("stage")
    arguments = parser.parse_args(argv)

    def work() -> int:
        from harmony_lit.experiment.run_folder import RunFolder
        from harmony_lit.experiment.train import train_stage

        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        logging.getLogger("harmony_lit").setLevel(logging.INFO)
        if train_stage(RunFolder(arguments.run), arguments.stage):
            return 0
        print(f"stage {arguments.stage} stopped before its last step; run the same command again to go on")
        return 1

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
