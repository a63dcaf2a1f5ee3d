"""`fuseboard up`: everything on one machine, until Ctrl-C."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from shlex import quote
from typing import Annotated, Final

import typer

from fuseboard_api.token_store import insert_login_code, insert_token
from fuseboard_api.tokens import hash_secret, make_secret, make_token
from fuseboard_cli.listener import HOST, PORT, open_listener
from fuseboard_cli.logs import setup_logging
from fuseboard_cli.output import stdout
from fuseboard_cli.processes import Supervisor
from fuseboard_cli.secrets import mask_url
from fuseboard_cli.servers import open_database, use_servers
from fuseboard_cli.services import make_command, make_environment, migrate_database
from fuseboard_schema.settings import Settings, read_settings
from fuseboard_schema.stream import NAMESPACE

PROGRAM: Final = "fuseboard"
CONSUMERS: Final = 1
# a look at whether the API answers yet holds up the supervision of the others no longer
ANSWER_TIMEOUT_SECONDS: Final = 0.5
LOGIN_LINK_LASTS: Final = timedelta(minutes=10)
# as long as a session of a browser
LOGIN_TOKEN_LASTS: Final = timedelta(hours=12)
EXAMPLE: Final = """
Emit an event:

    from fuseboard_producer import Producer

    with Producer({arguments}) as producer:
        producer.record("claude", "claude-sonnet-4-5", prompt_tokens=1200, completion_tokens=300)

Then, in this directory: {program} status, {program} costs. Ctrl-C stops everything."""


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
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="The port of the dashboard.", show_default=f"{PORT}, else a free one"),
    ] = None,
) -> None:
    """Run everything: servers (unless DATABASE_URL and REDIS_URL name some), consumers, aggregator, dashboard."""
    given = read_settings()
    setup_logging(given.log_level)
    with (
        open_listener(port) as listener,
        use_servers(may_create=True) as settings,
        run_services(settings, consumers, None) as supervisor,
    ):
        descriptor = listener.fileno()
        supervisor.add("api", make_command("api", "--fd", str(descriptor)), descriptors=(descriptor,))
        # never broken into lines, because it is there to be copied
        stdout().print(describe_installation(settings, is_embedded=not given.redis_url), soft_wrap=True)
        invitation = Invitation(settings, listener.getsockname()[1])
        supervisor.run_until(invitation.offer_once)


@dataclass(slots=True)
class Invitation:
    """The login link, made and printed when the API answers and not before."""

    settings: Settings
    port: int
    is_printed: bool = False

    def offer_once(self) -> bool:
        """Print the link if it is time; False, because it is no reason to stop."""
        if not self.is_printed and is_answering(self.port):
            self.is_printed = True
            link = make_login_link(self.settings, self.port)
            stdout().print(f"Dashboard, a link that works once: {link}", soft_wrap=True)
        return False


def is_answering(port: int) -> bool:
    """Tell whether the API has come so far as to answer; whoever knocks before waits in the socket's queue."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def make_login_link(settings: Settings, port: int) -> str:
    """Make a link to the dashboard that gives one browser the rights of an operator, for some hours."""
    # nobody ever sees this token: the session that comes of the link is all there is of it
    made, code = make_token(), make_secret()
    with open_database(settings) as connection:
        insert_token(connection, made, name="fuseboard up", scope="admin", lasting=LOGIN_TOKEN_LASTS)
        insert_login_code(connection, hash_secret(code), made.token_id, LOGIN_LINK_LASTS)
    return f"http://{HOST}:{port}/login?code={code}"


def describe_installation(settings: Settings, *, is_embedded: bool) -> str:
    """Say where the servers are and how to emit an event; a password is never shown."""
    arguments = [] if settings.namespace == NAMESPACE else [f'namespace="{settings.namespace}"']
    urls = {"DATABASE_URL": settings.database_url or "", "REDIS_URL": settings.redis_url or ""}
    if is_embedded:
        arguments.insert(0, f'"{settings.redis_url}"')
        servers = [f"export {name}={quote(url)}" for name, url in urls.items()]
    else:
        servers = [f"{name} is {mask_url(url)}" for name, url in urls.items()]
    return "\n".join([*servers, EXAMPLE.format(arguments=", ".join(arguments), program=name_program(sys.argv[0]))])


def name_program(started_as: str) -> str:
    """Name this program as the shell finds it: in a checkout that is no more than the path that it was started as."""
    is_command = Path(started_as).name == PROGRAM
    return quote(started_as) if is_command and shutil.which(PROGRAM) is None else PROGRAM
