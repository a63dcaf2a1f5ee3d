"""`fuseboard up`: everything on one machine, until Ctrl-C."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Annotated, Final

import typer

from fuseboard_cli.logs import setup_logging
from fuseboard_cli.output import stdout
from fuseboard_cli.processes import Supervisor
from fuseboard_cli.servers import use_servers
from fuseboard_cli.services import make_command, make_environment, migrate_database
from fuseboard_schema.settings import Settings, read_settings

CONSUMERS: Final = 1
EXAMPLE: Final = """
Emit an event:

    from fuseboard_producer import Producer

    with Producer({arguments}) as producer:
        producer.record("claude", "claude-sonnet-4-5", prompt_tokens=1200, completion_tokens=300)

Then, in this directory: fuseboard status, fuseboard costs. Ctrl-C stops everything.
"""


@contextmanager
def run_services(settings: Settings, consumers: int, log_folder: Path | None, **variables: str) -> Iterator[Supervisor]:
    """Migrate, and supervise consumers and the aggregator; the caller polls. Leaving the block stops them."""
    migrate_database(settings)
    environment = {**make_environment(settings), **variables}
    with Supervisor(environment=environment, log_folder=log_folder) as supervisor:
        supervisor.add("consumer", make_command("consumer"), consumers)
        supervisor.add("aggregator", make_command("aggregator"))
        yield supervisor


def up(
    consumers: Annotated[int, typer.Option(min=1, max=64, help="Consumer processes.")] = CONSUMERS,
) -> None:
    """Run everything: servers (unless DATABASE_URL and REDIS_URL name some), consumers, aggregator."""
    given = read_settings()
    setup_logging(given.log_level)
    with use_servers(may_create=True) as settings, run_services(settings, consumers, None) as supervisor:
        # never broken into lines, because it is there to be copied
        stdout().print(describe_installation(settings, is_embedded=not given.redis_url), soft_wrap=True)
        supervisor.run_until(lambda: False)


def describe_installation(settings: Settings, *, is_embedded: bool) -> str:
    """Say where the servers are and how to emit an event; a password is never shown."""
    arguments = [] if settings.namespace == "fuseboard" else [f'namespace="{settings.namespace}"']
    urls = {"DATABASE_URL": settings.database_url or "", "REDIS_URL": settings.redis_url or ""}
    if is_embedded:
        arguments.insert(0, f'"{settings.redis_url}"')
        servers = [f"export {name}={quote(url)}" for name, url in urls.items()]
    else:
        servers = [f"{name} is {mask_password(url)}" for name, url in urls.items()]
    return "\n".join([*servers, EXAMPLE.format(arguments=", ".join(arguments))])


def mask_password(url: str) -> str:
    """Replace the password in a URL, also one given as a parameter."""
    return re.sub(r"(?<=password=)[^&\s]*", "***", re.sub(r"(?<=://)([^:@/]*):[^@/]*@", r"\1:***@", url))
