"""The `fuseboard` command."""

import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run the command of this process: exit code 0, 1 for what went wrong, 2 for wrong usage, 130 for Ctrl-C."""
    try:
        # takes half a second, in which Ctrl-C is to end as quietly as later
        from fuseboard_cli.application import run_application  # noqa: PLC0415 - see above

        code = run_application()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
