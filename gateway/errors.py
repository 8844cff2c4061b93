"""One error class per decision of the caller."""


class SettingsError(Exception):
    """The configuration cannot be used: stop. `faults` are lines `file:line:column: path: what is wrong`."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ShopError(Exception):
    """The shop cannot be used right now: back off and try again, not before `retry_after_s` if the shop said so."""

    def __init__(self, text: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class ShopRefusedError(ShopError):
    """The shop answers, and refuses this one request for good: set it aside, the others go on."""


class UplinkError(Exception):
    """The broker cannot be used right now: reconnect with a fresh client."""


class IllegalTransitionError(Exception):
    """A state was left in a way the model does not know: a bug."""


class StateLockedError(Exception):
    """Another process uses this state directory: stop."""


class LedgerError(Exception):
    """The ledger cannot be trusted or written: stop, the restart recovers."""


class LedgerFullError(LedgerError):
    """There is no room on the disk: nothing was written, and the same may be tried again once there is."""


class LedgerLostError(LedgerError):
    """The ledger is gone or damaged: no restart helps, a person restores a backup; the text names the command."""


class NotUnderstoodError(Exception):
    """What was asked cannot be understood: `field` names the part of the request, the text says what is wrong."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class StaleError(Exception):
    """What is known is missing or too old to decide from: the same may be asked again later."""


class RefusedError(Exception):
    """A person asked for something that is not possible now; the text says why and what would help."""
