"""Trains one stage of a prepared run: the body of a stage's process, and the script of its other ranks."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
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

        _quieten()
        if train_stage(RunFolder(arguments.run), arguments.stage):
            return 0
        print(f"stage {arguments.stage} stopped before its last step; run the same command again to go on")
        return 1

    return guarded(work)


def _quieten() -> None:
    """Leaves what the user can act on: our own notes, and warnings that are not about libraries among themselves."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    first = os.environ.get("LOCAL_RANK", "0") == "0"  # the other ranks would say the same again
    for room in ("harmony_lit", "data", "metrics"):
        logging.getLogger(room).setLevel(logging.INFO if first else logging.WARNING)
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*model that overrides the configure_model.*")  # it shards nothing


if __name__ == "__main__":
    sys.exit(main())
