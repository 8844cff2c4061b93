"""Publish requests of one session: always some with the server, each answer given to its subscription's listener."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from asyncua import ua
from asyncua.client.ua_client import UASocketProtocol

from drivers.base import DriverError
from drivers.opcua.binary import Opaque, Reader, WireError

_log = logging.getLogger(__name__)

OUTSTANDING = 2  # requests: while one answer is on its way the next has a request already
_STATUS_CHANGE = 820  # StatusChangeNotification, binary encoding: this subscription has ended


class Listener(Protocol):
    """Who asked for a subscription."""

    def hear(self, notifications: Sequence[Opaque]) -> None:
        """Take one notification message; an empty one is the server's sign of life. May raise `WireError`."""
        ...

    def end(self) -> None:
        """Learn that what was told before may not hold any more, though the session may go on."""
        ...


class Publishing:
    """Asks for notifications from the first subscription on, until stopped or refused."""

    def __init__(self, protocol: Callable[[], UASocketProtocol], faults: Callable[[str], Any]) -> None:
        self._protocol, self._faults = protocol, faults
        self._listeners: dict[int, Listener] = {}
        self._outstanding: set[asyncio.Future[Any]] = set()
        self._stopped = False

    def add(self, subscription: int, listener: Listener) -> None:
        """Give what comes for a subscription to this listener."""
        self._listeners[subscription] = listener
        while len(self._outstanding) < OUTSTANDING:
            self._request([])

    def stop(self) -> None:
        """Ask for nothing more and tell nobody."""
        self._stopped = True
        for request in self._outstanding:
            request.cancel()

    def _request(self, acknowledged: Sequence[ua.SubscriptionAcknowledgement]) -> None:
        """Leave one publish request with the server, which answers it at the next change."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = list(acknowledged)
        # The bare future needs no task of its own, and no timeout: it waits as long as nothing changes.
        answer = self._protocol()._send_request(request, 0)  # noqa: SLF001
        self._outstanding.add(answer)
        answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        """Give an answer to its listener and ask for the next; the last refusal ends every subscription."""
        self._outstanding.discard(answer)
        if self._stopped or answer.cancelled():
            return
        try:
            with self._faults("publishing"), _readable():
                body = answer.result()
                self._protocol().check_answer(body, " while publishing")
                subscription, sequence, notifications = _message(Reader(body.read(len(body))))
                acknowledged = ua.SubscriptionAcknowledgement(SubscriptionId=subscription, SequenceNumber=sequence)
                self._request([acknowledged] if notifications else [])
                self._give(subscription, notifications)
        except DriverError as error:
            if self._outstanding:
                _log.debug("one publish request less: %s", error)
                return
            _log.info("no more news of changes, polling goes on: %s", error)
            for listener in tuple(self._listeners.values()):
                listener.end()
            self._listeners.clear()

    def _give(self, subscription: int, notifications: Sequence[Opaque]) -> None:
        listener = self._listeners.get(subscription)
        if listener is None:
            return
        if any(notification.type_id.identifier == _STATUS_CHANGE for notification in notifications):
            del self._listeners[subscription]
            listener.end()
            return
        try:
            listener.hear(notifications)
        except WireError as error:
            _log.warning("a notification cannot be read: %s", error)
            listener.end()


class Hint:
    """Listens only for the fact that something changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change

    def hear(self, notifications: Sequence[Opaque]) -> None:
        """Pass on that something changed."""
        if notifications:
            self._on_change()

    def end(self) -> None:
        """Pass on that something happened: the next look will tell."""
        self._on_change()


def skip_response_header(reader: Reader) -> None:
    """Read past the header of an answer, whose result the library has checked."""
    reader.take(8)  # the time of the answer
    reader.u32()  # the request's handle
    reader.u32()  # the service result
    reader.diagnostic_info()
    reader.array(Reader.string)
    reader.extension_object()


def _message(reader: Reader) -> tuple[int, int, tuple[Opaque, ...]]:
    """Give subscription, sequence number and notifications of a publish answer."""
    reader.node_id()
    skip_response_header(reader)
    subscription = reader.u32()
    reader.array(Reader.u32)
    reader.boolean()
    sequence = reader.u32()
    reader.take(8)  # the time of publishing
    return subscription, sequence, reader.array(Reader.extension_object)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except WireError as error:
        raise DriverError(f"publishing: the answer cannot be read: {error}") from error
