"""Blocks become messages: each encoded once, numbered by machine and boot, marked when it comes late."""

from collections import Counter
from dataclasses import dataclass

import orjson

from drivers.blocks import GOOD, QUALITIES, Block
from gateway.uplink.spool import Gap

_HEAD = b'{"v":1,'


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message of the tags topic: `count` values, JSON in `body`."""

    seq: int
    t_ms: int
    count: int
    body: bytes


class Encoder:
    """Numbers and encodes the blocks of all machines of one boot; `seq` rises by one per machine from 1 on."""

    def __init__(self, boot: int) -> None:
        self.boot = boot
        self._seqs: Counter[str] = Counter()

    def messages(self, machine: str, block: Block, *, t_ms: int) -> list[Message]:
        """Give the messages of a block: first what was lost before it, then its values.

        `t_ms` is the time of the block as it is published.
        """
        made = []
        if block.lost:
            seq = self._next(machine)
            gap = {
                "from": seq,
                "to": seq,
                "count": 1,
                "values": block.lost,
                "reason": "lost before they reached the gateway",
            }
            body = orjson.dumps({"v": 1, "t": t_ms, "boot": self.boot, "seq": seq, "gap": gap})
            made.append(Message(seq=seq, t_ms=t_ms, count=0, body=body))
        if block.names:
            seq = self._next(machine)
            message = {
                "v": 1,
                "t": t_ms,
                "boot": self.boot,
                "seq": seq,
                "values": dict(zip(block.names, block.values, strict=True)),
            }
            if not block.good:
                message["quality"] = {
                    name: QUALITIES[quality]
                    for name, quality in zip(block.names, block.qualities, strict=True)
                    if quality != GOOD
                }
            made.append(Message(seq=seq, t_ms=t_ms, count=len(block.names), body=orjson.dumps(message)))
        return made

    def _next(self, machine: str) -> int:
        self._seqs[machine] += 1
        return self._seqs[machine]


def as_history(body: bytes) -> bytes:
    """Mark a message that could not be sent when it was new."""
    assert body.startswith(_HEAD)
    return _HEAD + b'"history":true,' + body[len(_HEAD) :]


def gap_message(gap: Gap) -> bytes:
    """Declare what will never come: `count` of the messages `from` to `to` of that boot."""
    told = {"from": gap.first, "to": gap.last, "count": gap.count, "values": gap.values, "reason": gap.reason}
    return orjson.dumps({"v": 1, "boot": gap.boot, "gap": told})
