import errno
import json
from collections.abc import Callable

import pytest

from harmony_lit.cli.guard import guarded
from harmony_lit.cli.main import main
from harmony_lit.errors import UserError
from harmony_lit.experiment.run import StageError
from harmony_lit.geometry import Geometry


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("do this instead"), 2, "do this instead"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (StageError("stage joint was killed", 1), 1, "stage joint was killed"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "no space is left"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_a_full_disk_is_seen_behind_the_error_that_it_caused(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("file write failed") from error

    assert guarded(work) == 1
    assert "no space" in capsys.readouterr().err


def test_our_own_value_error_is_a_users_mistake_and_a_librarys_is_a_bug() -> None:
    assert guarded(lambda: Geometry().latent_frames(60)) == 2
    with pytest.raises(ValueError, match="Expecting value"):
        guarded(lambda: json.loads("?"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["config", "quickstat"], "Did you mean 'quickstart'?"),
        (["config", "quickstart", "stages.joint.trainr.max_steps=1"], "Did you mean 'trainer'?"),
        (["sample", "runs/none", "--guidance", "sync_cgf", "-o", "a.mp4"], "Did you mean 'sync_cfg'?"),
        (["sample", "runs/none", "-o", "a"], "such as a.mp4"),
        (["sample", "runs/none", "-o", "a.mp4"], "there is no run or checkpoint at runs/none"),
        (["bench", "runs/none"], "there is no run or checkpoint at runs/none"),
        (["data", "encode", "runs/no_clips", "runs/out", "--experiment", "quickstart"], "runs/no_clips"),
    ],
)
def test_wrong_inputs_end_with_exit_code_2_and_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_overrides_may_follow_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "quickstart", "seed=4", "--check", "seedd=5"]) == 2
    assert "Did you mean 'seed'?" in capsys.readouterr().err


def test_a_word_that_is_no_override_is_refused() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["config", "quickstart", "--check", "seed"])
    assert caught.value.code == 2
