"""Tasks of Celery and RQ that wait for a slow provider through a Router until their queue ends them."""

import os
import time
from typing import Any

from celery import Celery

from fuseboard_producer import Attempt, Producer, Request, Router

SLOW_SECONDS = 30.0

app = Celery("limited_tasks", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    task_default_queue=f"{os.environ['FUSEBOARD_TEST_NAMESPACE']}-celery",
    task_ignore_result=True,
)


def wait(attempt: Attempt) -> str:
    time.sleep(SLOW_SECONDS)
    return f"answer of {attempt.provider}"


def wait_inside_a_client(attempt: Attempt) -> str:
    """Do as clients that wrap whatever they do not know."""
    try:
        return wait(attempt)
    except Exception as error:
        raise ConnectionError("Connection error.") from error


def ask(queue: str) -> Any:  # noqa: ANN401 - whatever a provider answers
    """Ask the first provider that may be called, and say in an event of its own how the task ended."""
    namespace, spool_dir = os.environ["FUSEBOARD_TEST_NAMESPACE"], os.environ["FUSEBOARD_SPOOL_DIR"]
    with Producer(namespace=namespace, spool_dir=spool_dir) as producer, Router(producer) as router:
        function = wait if queue == "rq" else wait_inside_a_client
        try:
            return router.call(Request(model="m"), dict.fromkeys(("slow", "other"), function))
        except BaseException as error:
            producer.record("the task", "m", error_type=type(error).__name__)
            raise


@app.task(soft_time_limit=1, time_limit=20)  # type: ignore[untyped-decorator] # Celery is not typed
def ask_from_celery() -> None:
    ask("celery")
