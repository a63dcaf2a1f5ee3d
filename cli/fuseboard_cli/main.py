"""The `fuseboard` command."""

import sys
from typing import Final, NoReturn

OWN_PACKAGES: Final = "fuseboard_"


def run() -> NoReturn:
    """Run the command of this process: exit code 0, 1 for what went wrong, 2 for wrong usage, 130 for Ctrl-C."""
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
