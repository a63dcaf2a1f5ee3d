"""Reading a file of vectors, of whatever kind."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

Case = dict[str, Any]


def read_cases(path: str, sections: Collection[str]) -> list[tuple[str, Case]]:
    """Read the cases with their sections; raises OSError or ValueError for what is no file of such vectors."""
    content = json.loads(Path(path).read_text())
    if not isinstance(content, dict):
        raise ValueError("the file is no JSON object")  # noqa: TRY004 - as unreadable as broken JSON
    found = {name: cases for name, cases in content.items() if isinstance(cases, list)}
    unknown = found.keys() - sections
    if unknown or not all(isinstance(case, dict) for cases in found.values() for case in cases):
        raise ValueError(f"sections are lists of objects, named {', '.join(sections)}; not {sorted(unknown)}")
    return [(name, case) for name, cases in found.items() for case in cases]
