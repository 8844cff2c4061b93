"""Where each fact and each mirror is published: the ISA-95 topic tree of one site."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# A machine that left the configuration while its facts still waited has no place any more.
_NOWHERE = ("_", "_")
_MIRRORED_OF_MACHINES = ("state", "job", "kpi")
_MIRRORED_OF_GATEWAYS = ("health", "info")
# What would split or widen a topic level is written as in an address.
_ESCAPES = str.maketrans({character: f"%{ord(character):02X}" for character in "%/+#\0"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Topics:
    """The topics of one site. `base` is `<enterprise>/<site>`; `machines` maps a name to (area, line).

    Raise `ValueError` for a base that cannot start a topic.
    """

    base: str
    gateway_id: str
    machines: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a base that no broker would accept."""
        check_topic(self.base)

    @property
    def availability(self) -> str:
        """Give the topic of the will: online or offline."""
        return f"{self.base}/_gateway/{_level(self.gateway_id)}/availability"

    @property
    def pricing_control(self) -> str:
        """Give the one topic that is listened to: commands that restrict prices."""
        return f"{self.base}/pricing/control"

    def fact(self, body: Mapping[str, object]) -> str:
        """Give the topic of a fact by the first word of its type; raise `ValueError` for an unknown one."""
        area, _, happened = str(body.get("type")).partition(".")
        match area:
            case "order":
                return f"{self.base}/orders/{_named(body, 'order_id')}/event"
            case "job":
                return f"{self._machine(body.get('machine'))}/job/{_named(body, 'job_id')}/event"
            case "run":
                return f"{self.base}/runs/{_named(body, 'family')}/{_named(body, 'run_id')}/event"
            case "offer":
                return f"{self.base}/offers/{_named(body, 'sku')}/event"
            case "campaign":
                return f"{self.base}/campaigns/{_named(body, 'family')}/event"
            case "proposal":
                proposal = f"{self.base}/proposals/{_named(body, 'proposal_id')}"
                return proposal if happened == "opened" else f"{proposal}/decision"
            case "exception":
                return f"{self.base}/exceptions/{_named(body, 'exception_id')}"
            case "machine":
                return f"{self._machine(body.get('machine'))}/alarm"
            case _:
                raise ValueError(f"no topic for a fact of type {body.get('type')!r}")

    def mirror(self, subject: tuple[str, str]) -> str | None:
        """Give the retained topic of a board subject; None for one that is not published."""
        kind, name = subject
        if kind in _MIRRORED_OF_MACHINES:
            return f"{self._machine(name)}/{kind}"
        if kind in _MIRRORED_OF_GATEWAYS:
            return f"{self.base}/_gateway/{_level(name)}/{kind}"
        match kind:
            case "run":
                return f"{self.base}/runs/{_level(name)}/open"
            case "offer":
                return f"{self.base}/offers/{_level(name)}"
            case "campaign":
                return f"{self.base}/campaigns/{_level(name)}"
            case _:
                return None

    def tags(self, machine: str) -> str:
        """Give the topic of a machine's samples."""
        return f"{self._machine(machine)}/tags"

    def _machine(self, name: object) -> str:
        area, line = self.machines.get(str(name), _NOWHERE)
        return f"{self.base}/{_level(area)}/{_level(line)}/{_level(name)}"


def check_topic(topic: str) -> None:
    """Raise `ValueError` for a topic that must not be published to."""
    if any(character in topic for character in "+#\0"):
        raise ValueError(f"a topic must not hold a wildcard: {topic!r}")
    if not all(topic.split("/")):
        raise ValueError(f"a topic must not hold an empty level: {topic!r}")
    if topic.startswith("$"):
        raise ValueError(f"topics that start with $ belong to the broker: {topic!r}")


def _named(body: Mapping[str, object], key: str) -> str:
    if body.get(key) is None:
        raise ValueError(f"a fact of type {body.get('type')!r} must carry {key}")
    return _level(body[key])


def _level(name: object) -> str:
    """Make any name or number exactly one topic level."""
    if name is None or name == "":
        raise ValueError("a topic level must not be empty")
    return str(name).translate(_ESCAPES)
