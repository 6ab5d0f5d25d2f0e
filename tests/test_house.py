"""The rooms' doors open one way, and the roof answers at once."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def imported(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def test_only_the_roof_of_harmony_lit_sees_data_and_metrics() -> None:
    offenders = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / "harmony_lit").rglob("*.py")
        if "cli" not in path.parts
        for module in imported(path)
        if module.split(".")[0] in ("data", "metrics")
    ]
    assert offenders == []


def test_no_room_but_the_roof_itself_and_the_stage_process_looks_up_to_the_roof() -> None:
    offenders = [
        f"{path.relative_to(ROOT)} imports {module}"
        for room in ("harmony_lit", "data", "metrics")
        for path in (ROOT / room).rglob("*.py")
        if "cli" not in path.parts and path.name != "run.py"
        for module in imported(path)
        if module.startswith("harmony_lit.cli")
    ]
    assert offenders == []


def test_data_does_not_see_metrics() -> None:
    offenders = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "data").rglob("*.py")
        for module in imported(path)
        if module.split(".")[0] == "metrics"
    ]
    assert offenders == []


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["config", "quickstart"]])
def test_help_and_config_do_not_wait_for_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from harmony_lit.cli.main import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "assert not code, code\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
