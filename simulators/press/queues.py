"""Queues of monitored items that say when they lost something: asyncua drops the oldest value without a word."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from asyncua import ua
from asyncua.server.subscription_service import SubscriptionService

_OVERFLOW: Final = 0x0480  # info type DataValue, and the overflow bit (OPC 10000-4, 7.39)

Enqueue = Callable[..., Awaitable[None]]


def mark_what_is_lost(service: SubscriptionService) -> None:
    """Let the value behind each one that a full queue has dropped bear the overflow bit (OPC 10000-4, 5.12.1.5)."""
    create = service.create_subscription

    async def created(*arguments: Any, **named: Any) -> ua.CreateSubscriptionResult:
        result = await create(*arguments, **named)
        subscription: Any = service.subscriptions[result.SubscriptionId]
        subscription._enqueue_event = _marking(subscription._enqueue_event)  # noqa: SLF001 - it has no other place
        return result

    service.create_subscription = created  # type: ignore[method-assign]


def _marking(enqueue: Enqueue) -> Enqueue:
    async def marked(item: int, change: Any, size: int, queue: dict[int, list[Any]]) -> None:
        full = 0 < size <= len(queue.get(item, ()))
        await enqueue(item, change, size, queue)
        if full and isinstance(oldest := queue[item][0], ua.MonitoredItemNotification):
            queue[item][0] = _marked(oldest)

    return marked


def _marked(change: ua.MonitoredItemNotification) -> ua.MonitoredItemNotification:
    value = change.Value
    status = 0 if value.StatusCode is None else value.StatusCode.value
    return replace(change, Value=replace(value, StatusCode=ua.StatusCode(ua.UInt32(status | _OVERFLOW))))
