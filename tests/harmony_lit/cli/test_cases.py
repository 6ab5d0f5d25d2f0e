from pathlib import Path

import pytest

from harmony_lit.cli.cases import read_case_file
from harmony_lit.cli.main import main
from harmony_lit.errors import UserError


def write(folder: Path, *lines: str) -> Path:
    path = folder / "cases.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_each_line_is_a_case_and_files_are_relative_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(b"")
    path = write(
        tmp_path,
        '{"prompt": "a ball bounces", "seed": 3}',
        "",
        '{"key": "say", "transcript": "red moon", "reference_audio": "voice.wav", "frames": 61}',
    )
    ball, say = read_case_file(path)
    assert (ball.key, ball.prompt, ball.seed) == ("0001", "a ball bounces", 3)
    assert (say.key, say.reference_audio, say.frames) == ("say", str(tmp_path / "voice.wav"), 61)


def test_a_bench_table_is_a_cases_file_too(tmp_path: Path) -> None:
    path = write(
        tmp_path, '{"key": "a", "category": "ambient", "video_caption": "v", "audio_caption": "s", "truth": "x"}'
    )
    (case,) = read_case_file(path)
    assert (case.prompt, case.audio_prompt) == ("v", "s")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{'prompt': 1}", "not a JSON object"),
        ("[1]", "a case is a JSON object"),
        ('{"promt": "x"}', "Did you mean 'prompt'?"),
        ('{"prompt": 3}', "prompt must be text"),
        ('{"seed": "x"}', "seed must be a whole number"),
        ('{"seed": true}', "seed must be a whole number"),
        ('{"key": "a/b"}', "a key names a file"),
        ('{"image": "no.png"}', "does not exist"),
    ],
)
def test_a_bad_line_is_named_by_number_and_by_what_is_wrong(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_case_file(write(tmp_path, '{"prompt": "fine"}', line))
    assert f"{tmp_path / 'cases.jsonl'}:2: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "said"), [(('{"key": "a"}', '{"key": "a"}'), "more than once"), (("",), "holds no case")]
)
def test_keys_are_unique_and_a_file_is_not_empty(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_case_file(write(tmp_path, *lines))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no cases file"):
        read_case_file(tmp_path / "none.jsonl")


@pytest.mark.parametrize(("cases", "said"), [("harmony", "-o names a folder"), ("harmonic", "no cases file harmonic")])
def test_sampling_knows_the_shipped_table_by_its_name(cases: str, said: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "clip.mp4").touch()
    assert main(["sample", "run", "--cases", cases, "-o", str(tmp_path / "clip.mp4")]) == 2
    assert said in capsys.readouterr().err
