"""Editing the text of a refused event: by fields, out of a file, or in the user's editor."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.rejected_store import RejectedEvent
from fuseboard_consumer.decode import RAW_TEXT_MAX_BYTES


def set_fields(event: RejectedEvent, changes: Sequence[str], unset: Sequence[str]) -> str:
    """Set and remove fields of an event; `tags.team=x` is a field of a field. Raises CommandError, typer.BadParameter.

    A value is JSON where it can be read as such, else text: 12 is a number, "12" in quotes is text.
    """
    try:
        fields = json.loads(event.text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise CommandError(f"{event.rejected_id} is no JSON object: give its whole text with --file, or use an editor")
    for change in changes:
        name, equals, value = change.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{change!r} is not FIELD=VALUE")
        place, last = _find_place(fields, name)
        place[last] = _read_value(value)
    for name in unset:
        place, last = _find_place(fields, name)
        place.pop(last, None)
    return json.dumps(fields)


def _find_place(fields: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """Find the object that holds a field, made where it is missing."""
    *path, last = name.split(".", 1)
    for part in path:
        if not isinstance(fields.get(part), dict):
            fields[part] = {}
        fields = fields[part]
    return fields, last


def _read_value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def read_edited(file: Path) -> str:
    """Read the text that a file, or `-` standard input, has for an event; raises CommandError."""
    raw = sys.stdin.buffer.read(RAW_TEXT_MAX_BYTES + 1) if str(file) == "-" else file.read_bytes()
    return check_edited(raw)


def check_edited(raw: bytes) -> str:
    """Check that a text can be kept; raises CommandError."""
    if len(raw) > RAW_TEXT_MAX_BYTES:
        raise CommandError(f"the text has more than {RAW_TEXT_MAX_BYTES:,} bytes")
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError as error:
        raise CommandError(f"the text is not UTF-8: {error.reason} at byte {error.start}") from error
    if not text or "\0" in text:
        raise CommandError("the text is empty or has NUL characters")
    return text


def edit_in_editor(text: str) -> str:
    """Let the user edit a text in $VISUAL or $EDITOR; raises CommandError where there is none, or it fails."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not editor:
        raise CommandError("there is no EDITOR: set it, or give --set FIELD=VALUE or --file")
    with tempfile.TemporaryDirectory(prefix="fuseboard-edit-") as folder:
        path = Path(folder) / "event.json"
        path.write_text(_lay_out(text), encoding="utf-8")
        try:
            code = subprocess.run([*editor, str(path)], check=False).returncode  # noqa: S603 - the user's own editor
        except OSError as error:
            raise CommandError(f"EDITOR {editor[0]} cannot be run: {error.strerror}") from error
        if code != 0:
            raise CommandError(f"EDITOR {editor[0]} ended with {code}: nothing was changed")
        edited = check_edited(path.read_bytes())
    return text if edited == _lay_out(text).strip() else edited


def _lay_out(text: str) -> str:
    """Lay JSON out for people; what is none stays as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    except (ValueError, RecursionError):
        return text
