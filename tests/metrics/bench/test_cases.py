import pytest

from harmony_lit.errors import UserError
from metrics.bench.cases import SHIPPED, BenchCase, balanced, read_cases, table_path, write_cases


def test_a_table_is_read_back_as_it_was_written_also_from_another_place(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "a.png").touch()
    cases = [
        BenchCase("a", "ambient", "seen", "heard", seed=3, reference_image=str(folder / "a.png"), attributes={"x": 1}),
        BenchCase("b", "speech", transcript="größer"),
    ]
    write_cases(cases, folder / "cases.jsonl")
    assert read_cases(folder / "cases.jsonl") == cases
    folder.rename(tmp_path / "second")
    assert read_cases(tmp_path / "second/cases.jsonl")[0].reference_image == str(tmp_path / "second/a.png")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r"cases.jsonl:2: not a JSON object"),
        ('{"category": "speech"}', r":2: .*`key` and `category`"),
        ('{"key": "b", "category": "song"}', r":2: category must be one of ambient, speech, complex, not 'song'"),
        ('{"key": "b", "category": "speech", "transcipt": "x"}', r":2: .*'transcipt'. Did you mean 'transcript'"),
        ('{"key": "b", "category": "speech", "truth": "no.mp4"}', r":2: truth names .*no.mp4"),
        ('{"key": "a", "category": "speech"}', r"a occurs more than once"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(tmp_path, line, told):
    table = tmp_path / "cases.jsonl"
    table.write_text('{"key": "a", "category": "ambient"}\n' + line + "\n")
    with pytest.raises(UserError, match=told):
        read_cases(table)


def test_balanced_takes_the_first_of_each_category_or_says_what_lacks():
    cases = [BenchCase(f"{category}{i}", category) for i in range(3) for category in ("speech", "ambient", "complex")]
    assert [case.key for case in balanced(cases, 1)] == ["ambient0", "speech0", "complex0"]
    with pytest.raises(UserError, match="4 ambient cases are asked for, and there are 3"):
        balanced(cases, 4)
    assert sorted(case.key for case in balanced(cases)) == sorted(case.key for case in cases)
    assert balanced(cases[:1]) == cases[:1]


def test_a_shipped_table_is_read_by_its_name_and_any_other_by_its_path(tmp_path):
    assert read_cases("harmony") == read_cases(SHIPPED["harmony"])
    assert table_path(tmp_path / "harmony") == tmp_path / "harmony"
    with pytest.raises(UserError, match="no table of cases at harmonic; .* or 'harmony'"):
        read_cases("harmonic")


def test_a_table_without_a_case_is_refused(tmp_path):
    (tmp_path / "cases.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match="holds no case"):
        read_cases(tmp_path / "cases.jsonl")
