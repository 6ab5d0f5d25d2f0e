"""The schema of a table of cases says what the reader takes and what the writer gives."""

import dataclasses
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from harmony_lit.errors import UserError
from metrics.bench import cases as cases_module
from metrics.bench.cases import CATEGORIES, LANGUAGES, SHIPPED, BenchCase, read_cases, write_cases
from metrics.bench.from_shards import TABLE, cases_from_shards

SCHEMA = json.loads(Path(cases_module.__file__).with_name("cases.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def lines_of(table: Path) -> list[dict]:
    return [json.loads(line) for line in table.read_text(encoding="utf-8").split("\n") if line]


def errors_of(table: Path) -> list[str]:
    return [f"{line['key']}: {error.message}" for line in lines_of(table) for error in VALIDATOR.iter_errors(line)]


def test_the_schema_is_a_schema_of_its_draft():
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_has_the_fields_of_a_case_with_their_defaults_and_choices():
    fields, properties = dataclasses.fields(BenchCase), SCHEMA["properties"]
    assert list(properties) == [field.name for field in fields]
    assert SCHEMA["required"] == [field.name for field in fields if "default" not in properties[field.name]]
    empty = dataclasses.asdict(BenchCase("a", "ambient"))
    assert {name: p["default"] for name, p in properties.items() if "default" in p} == {
        name: value for name, value in empty.items() if name not in SCHEMA["required"]
    }
    assert properties["category"]["enum"] == list(CATEGORIES)
    assert properties["language"]["enum"] == list(LANGUAGES)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_table_follows_the_schema(name):
    assert errors_of(SHIPPED[name]) == []


def test_a_written_table_follows_the_schema(tmp_path):
    (tmp_path / "a.png").touch()
    full = BenchCase(
        "a",
        "speech",
        video_caption="seen",
        audio_caption="heard",
        transcript="你好\u2028世界",
        language="zh",
        seed=7,
        reference_image=str(tmp_path / "a.png"),
        image_prompt="a face",
        voice_prompt="a voice",
        attributes={"material": "wood"},
    )
    write_cases([full, BenchCase("b", "ambient")], tmp_path / "cases.jsonl")
    assert errors_of(tmp_path / "cases.jsonl") == []
    assert read_cases(tmp_path / "cases.jsonl") == [full, BenchCase("b", "ambient")]


@pytest.mark.parametrize("per_category", [2, None])
def test_the_generated_set_of_the_world_follows_the_schema(tmp_path, clip_shards, per_category):
    cases = cases_from_shards(clip_shards, tmp_path, per_category)
    assert [case.category for case in cases] == [c for c in CATEGORIES for _ in range(per_category or 4)]
    assert len(lines_of(tmp_path / TABLE)) == len(cases)
    assert errors_of(tmp_path / TABLE) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"key": ""},
        {"key": "a/b"},
        {"key": 3},
        {"key": None},
        {"category": "song"},
        {"category": "any"},
        {"category": None},
        {"language": "de"},
        {"language": None},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": "1"},
        {"seed": True},
        {"video_caption": 1},
        {"audio_caption": None},
        {"transcript": ["one"]},
        {"voice_prompt": {}},
        {"truth": 1},
        {"attributes": []},
        {"attributes": None},
        {"prompt": "seen"},
    ],
    ids=lambda changed: str(changed),
)
def test_what_the_schema_refuses_the_reader_refuses_and_names(tmp_path, changed):
    line = {"key": "a", "category": "ambient", **changed}
    table = tmp_path / "cases.jsonl"
    table.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert not VALIDATOR.is_valid(line)
    with pytest.raises(UserError, match=f"cases.jsonl:1: .*{'key' if 'key' in changed else next(iter(changed))}"):
        read_cases(table)


@pytest.mark.parametrize("changed", [{}, {"seed": 0}, {"truth": None}, {"language": "zh"}, {"attributes": {"a": [1]}}])
def test_what_the_schema_takes_the_reader_takes(tmp_path, changed):
    line = {"key": "a", "category": "ambient", **changed}
    table = tmp_path / "cases.jsonl"
    table.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert VALIDATOR.is_valid(line)
    assert read_cases(table) == [BenchCase(**line)]


def test_a_line_without_key_or_category_is_refused_by_both(tmp_path):
    table = tmp_path / "cases.jsonl"
    for line in ({"key": "a"}, {"category": "ambient"}, []):
        table.write_text(json.dumps(line) + "\n", encoding="utf-8")
        assert not VALIDATOR.is_valid(line)
        with pytest.raises(UserError, match="`key` and `category`"):
            read_cases(table)
