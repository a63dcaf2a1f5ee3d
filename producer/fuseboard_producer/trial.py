"""One attempt of a routed request while it is made, and while its answer is streamed."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from fuseboard_producer.attempt import Attempt
from fuseboard_producer.failover import Failover
from fuseboard_producer.streaming import RoutedAsyncStream, RoutedStream, is_async_stream, is_stream

Stream = TypeVar("Stream", RoutedStream, RoutedAsyncStream)


class Trial:
    """The time in which a caller's function runs: one event, and no error while another provider may do better."""

    def __init__(self, failover: Failover, attempt: Attempt, record: Callable[..., None]) -> None:
        self._failover = failover
        self._attempt = attempt
        self._record = record
        self._is_followed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return False if self._is_followed else self._end(error)

    def follow(self, answer: Any) -> Any:  # noqa: ANN401 - whatever a provider answers
        """Give a stream once its first item is here, whose end is then this trial's; any other answer as it is."""
        if not is_stream(answer):
            return answer
        stream = RoutedStream(answer, self._end)
        try:
            stream.begin()
        except BaseException:
            stream.forget()
            raise
        return self._hand_on(stream)

    async def follow_async(self, answer: Any) -> Any:  # noqa: ANN401 - whatever a provider answers
        """Do as `follow` with an answer that may be awaited, or an asynchronous stream."""
        if not is_async_stream(answer):
            answer = await answer
        if not is_async_stream(answer):
            return self.follow(answer)
        stream = RoutedAsyncStream(answer, self._end)
        try:
            await stream.begin()
        except BaseException:
            stream.forget()
            raise
        return self._hand_on(stream)

    def _hand_on(self, stream: Stream) -> Stream:
        self._is_followed = True
        if stream.has_item:
            self._attempt.mark_first_token()
        return stream

    def _end(self, error: BaseException | None) -> bool:
        self._record(**self._attempt.end(error))
        return self._failover.record_outcome(self._attempt, error)
