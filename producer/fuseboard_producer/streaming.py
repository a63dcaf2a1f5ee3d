"""Streamed answers of routed calls: the call lasts until the stream ends, and may fail over until its first item.

A stream is what has a next item: generators, and the stream objects of clients. Lists, texts, mappings and models that
can be iterated over are answers; so are files, whose next item is a line of what somebody reads whole.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from io import IOBase
from types import TracebackType
from typing import Any, Self

# is told once how the stream ended: None for its own end
End = Callable[[BaseException | None], object]


def is_stream(answer: object) -> bool:
    """Tell whether an answer is a stream."""
    return hasattr(type(answer), "__next__") and not isinstance(answer, IOBase)


def is_async_stream(answer: object) -> bool:
    """Tell whether an answer is an asynchronous stream."""
    return hasattr(type(answer), "__anext__")


class _Routed:
    """What both kinds have in common; anything else is the source's own."""

    def __init__(self, source: Any, end: End) -> None:  # noqa: ANN401 - a generator or any client's stream
        self._source = source
        self._end: End | None = end
        self._first: list[Any] = []

    @property
    def has_item(self) -> bool:
        """Whether the first item is here and was not read yet."""
        return bool(self._first)

    def forget(self) -> None:
        """Tell nothing: the stream never began."""
        self._end = None

    def _finish(self, error: BaseException | None) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(error)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the source
        return getattr(self._source, name)

    def __del__(self) -> None:
        # nobody reads it any more; at the end of the interpreter this may fail in any way
        with suppress(Exception):
            self._finish(GeneratorExit())


class RoutedStream(_Routed, Iterator[Any]):
    """A stream that tells how it ended: by itself, by an error, or closed or forgotten before."""

    def begin(self) -> None:
        """Wait for the first item; raises what the source raises, before the caller has seen anything."""
        try:
            self._first.append(next(self._source))
        except StopIteration:
            self._finish(None)

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the source gives
        if self._first:
            return self._first.pop()
        try:
            return next(self._source)
        except StopIteration:
            self._finish(None)
            raise
        except BaseException as error:
            self._finish(error)
            raise

    def close(self) -> None:
        """Close the source; what was not read is not waited for."""
        try:
            if hasattr(self._source, "close"):
                self._source.close()
        finally:
            self._finish(GeneratorExit())

    def __enter__(self) -> Self:
        if hasattr(type(self._source), "__enter__"):
            self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if hasattr(type(self._source), "__exit__"):
                self._source.__exit__(kind, error, traceback)
            else:
                self.close()
        finally:
            self._finish(error or GeneratorExit())


class RoutedAsyncStream(_Routed, AsyncIterator[Any]):
    """Does as RoutedStream, asynchronously."""

    async def begin(self) -> None:
        """Wait for the first item; raises what the source raises, before the caller has seen anything."""
        try:
            self._first.append(await anext(self._source))
        except StopAsyncIteration:
            self._finish(None)

    async def __anext__(self) -> Any:  # noqa: ANN401 - whatever the source gives
        if self._first:
            return self._first.pop()
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            self._finish(None)
            raise
        except BaseException as error:
            self._finish(error)
            raise

    async def aclose(self) -> None:
        """Close the source; what was not read is not waited for."""
        close = getattr(self._source, "aclose", None) or getattr(self._source, "close", None)
        try:
            if close is not None:
                await close()
        finally:
            self._finish(GeneratorExit())

    # as the clients name it
    close = aclose

    async def __aenter__(self) -> Self:
        if hasattr(type(self._source), "__aenter__"):
            await self._source.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if hasattr(type(self._source), "__aexit__"):
                await self._source.__aexit__(kind, error, traceback)
            else:
                await self.aclose()
        finally:
            self._finish(error or GeneratorExit())
