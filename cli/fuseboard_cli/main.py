"""The `fuseboard` command."""

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

OWN_PACKAGES: Final = "fuseboard_"


def run() -> NoReturn:
    """Run the command of this process: exit code 0, 1 for what went wrong, 2 for wrong usage, 130 for Ctrl-C."""
    for name in ("stdout", "stderr"):
        # closed by whoever started this, such as with >&-; opened, so that no socket gets its number
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    try:
        # takes half a second, in which Ctrl-C is to end as quietly as later
        from fuseboard_cli.application import run_application  # noqa: PLC0415 - see above

        code = run_application()
    except KeyboardInterrupt:
        code = 130
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(OWN_PACKAGES):
            raise
        sys.stderr.write(
            f"fuseboard: the base install, which is for workers, has no {error.name}: "
            "the command comes with pip install 'fuseboard[server]'\n"
        )
        code = 1
    sys.exit(code)
