"""What holds for every file of the repository."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FILE_MAX_LINES = 300
FUNCTION_MAX_LINES = 50
# made by tools; the same names as in .gitignore
GENERATED = {"__pycache__", "build", "dist", "node_modules"}
HIDDEN_BUT_OURS = {".ci", ".github", ".gitignore", ".dockerignore"}
BINARY_SUFFIXES = {".gz", ".ico", ".png", ".svg", ".woff2"}
# spelt in parts, or this file would be the first to break the rule
MACHINE_PATHS = [rf"(?<![\w.-])/{name}/" for name in ("work", "root", "tmp", "home")]
REGISTRIES = [
    rf"\b{name}\b"
    for name in (
        "pypi" + r"\.org",
        "pythonhosted" + r"\.org",
        "npmjs" + r"\.(org|com)",
        "debian" + r"\.org",
        "index" + "[-_]url",
        "trusted" + "[-_]host",
    )
]
FORBIDDEN = re.compile("|".join(MACHINE_PATHS + REGISTRIES))


def list_files(folder: Path = REPOSITORY) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in GENERATED or (path.name.startswith(".") and path.name not in HIDDEN_BUT_OURS):
            continue
        if path.is_dir():
            yield from list_files(path)
        elif path.suffix not in BINARY_SUFFIXES:
            yield path


def list_python_files() -> list[Path]:
    return [path for path in list_files() if path.suffix == ".py"]


def name_place(path: Path, line: int) -> str:
    return f"{path.relative_to(REPOSITORY)}:{line}"


def test_the_walk_finds_the_repository() -> None:
    found = {str(path.relative_to(REPOSITORY)) for path in list_files()}

    assert {"README.md", "Makefile", ".ci/run", "pyproject.toml", "tests/conftest.py"} <= found
    assert not any(".venv" in name for name in found)


def test_no_python_file_is_too_long() -> None:
    lengths = {path.relative_to(REPOSITORY): len(path.read_text().splitlines()) for path in list_python_files()}

    assert {str(path): length for path, length in lengths.items() if length > FILE_MAX_LINES} == {}


def test_no_function_is_too_long() -> None:
    long_functions = [
        f"{name_place(path, node.lineno)} {node.name}"
        for path in list_python_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_MAX_LINES
    ]

    assert long_functions == []


def test_no_file_names_a_path_of_one_machine_or_a_registry() -> None:
    found = [
        name_place(path, number)
        for path in list_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if FORBIDDEN.search(line)
    ]

    assert found == []


def test_python_files_are_named_once() -> None:
    # mypy takes tests/unit/test_a.py and tests/integration/test_a.py for the same module
    names = [path.name for path in list_files(REPOSITORY / "tests") if path.suffix == ".py"]

    assert sorted(names) == sorted(set(names))
