"""The tags of a machine type, subscribed to on one server."""

import logging

from asyncua import ua

from drivers.base import DriverError, MonotonicClock
from drivers.opcua.connection import PUBLISHING_MS, Connection, Pace
from drivers.opcua.telemetry import Telemetry
from drivers.profile import Profile

_log = logging.getLogger(__name__)

_TAGS_OF_SUBSCRIPTION = 1000


async def sampled(connection: Connection, profile: Profile, monotonic: MonotonicClock) -> Telemetry:
    """Subscribe to the tags in groups; one that cannot be had is bad, and no reason not to work with the machine."""
    telemetry = Telemetry(profile.tags, monotonic)
    nodes: dict[int, ua.NodeId] = {}
    missing: list[int] = []
    for handle, (name, tag) in enumerate(profile.tags.items()):
        try:
            nodes[handle] = connection.node(tag.address)
        except DriverError as error:
            _log.warning("tag %s: %s", name, error)
            missing.append(handle)
    sampling_ms = profile.sample_s * 1000
    pace = Pace(sampling_ms=sampling_ms, publishing_ms=max(sampling_ms, PUBLISHING_MS), hints=False)
    wanted = list(nodes)
    for start in range(0, len(wanted), _TAGS_OF_SUBSCRIPTION):
        group = wanted[start : start + _TAGS_OF_SUBSCRIPTION]
        try:
            refused = await connection.subscribe(
                [nodes[handle] for handle in group], telemetry, pace=pace, handles=group
            )
            missing += [group[place] for place in refused]
        except DriverError as error:
            _log.warning("no subscription to %d tags: %s", len(group), error)
            missing += group
    telemetry.refuse(missing)
    return telemetry
