"""Every kind of question that people are asked: what it is about, its cause, the answers there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.domain.recovery import QUESTION


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What all exceptions of a kind share. An exception may offer fewer answers; `stop`: work stands still."""

    about: tuple[str, ...]  # the part of the subject before the colon, or all of it
    cause: str
    actions: tuple[str, ...]
    stop: bool = False


def _job(cause: str, *actions: str, stop: bool = True) -> Question:
    return Question(about=("job",), cause=cause, actions=actions, stop=stop)


def _of(about: str, cause: str, *actions: str, stop: bool = False) -> Question:
    return Question(about=(about,), cause=cause, actions=actions, stop=stop)


class Kind(Enum):
    """The catalogue. Nothing else can be asked, and a test asks and answers each of them."""

    UNCLEAR_WHETHER_MADE = _job("unclear whether the job was made", "not_made", "made", "aborted")
    UNCLEAR_WHAT_BECAME = _job("unclear what became of the job", "made", "aborted", "not_made")
    FORGOTTEN = _job("the machine no longer knows a job it had accepted", "not_made", "made")
    NEVER_SENT = _job("the machine knows a job that was never sent", "not_made", "made", "aborted")
    NO_COUNT = _job("the machine does not say how many pieces are good", "made", "not_made")
    BEGIN_FORGOTTEN = _job("the machine no longer knows that it had begun the job", "not_made", "made", "aborted")
    THERE_AFTER_ALL = _job("the machine has a job that was said not to be made", "close")
    NOT_ACCEPTED = _job("not accepted by the machine", "retry")
    ABORTED = _job("aborted at the machine with fewer good pieces", "remake", "close")
    NOT_ENDED = _job("the machine does not end a job that is wanted no more", "abort", "close", stop=False)
    NOT_GIVEN_BACK = _job("the machine does not give a job back that is to go elsewhere", "abort", "close", stop=False)
    UNKNOWN_JOB = _job("the machine knows a job that this ledger does not", "close")
    PROBE_LEFT = _of("probe", "a probe left its job in the machine", "close", stop=True)
    STRANDED = _of("queue", "released jobs wait for a machine that takes none", "reroute")
    LAPSED = _of("machine", "arming lapsed", "close", stop=True)
    HELD = _of("machine", "held", "close", stop=True)
    HAND_WRITE = _of("machine", "unclear whether a value written by hand was taken", "close")
    NOT_UNDERSTOOD = _of("order", "not understood", "close")
    BAD_PARAMETER = _of("order", "bad parameter", "retry", "close")
    UNKNOWN_ARTICLE = _of("sku", "unknown article", "retry", "close")
    CHANGED_LATE = _of(
        *("order", "changed after release"),
        *("make_more", "shelf", "abort", "withdraw", "make_anyway", "to_shelf", "close"),
    )
    WANTED_AGAIN = _of("order", "wanted again after it was cancelled", "close")
    ANOTHER_ORDER = _of("order", "another order under the same number", "close")
    NOT_TOLD = Question(
        about=("order", "offer", "coupon"), cause="the shop refuses to be told", actions=("replay", "close")
    )
    NOT_KEPT = _of("price", "the shop does not keep its price", "close")
    ANOTHER_SITE = _of("shop", "another site answers", "close", stop=True)
    REMADE = _of("requirement", "remade too often", "retry", "close")
    HOMELESS = _of("requirement", "its family is not configured", "retry", "close")
    OUTSIDE = _of("requirement", "outside the limits of the new recipe", "retry", "close")
    MATERIAL = _of("run", "material is missing", "release_part", "hold")
    FILE_REFUSED = _of("file", "a file cannot be used", "retry", "close")
    FILE_AWAY = _of("file", "a file cannot be fetched yet", "close")
    NOT_DELIVERED = _of("delivery", "the files of a job cannot be delivered", "retry")
    MORE_USED = _of("stock", "more was used than was counted", "close")
    STALE = _of("family", "stale inputs", "close")
    RESTORED = _of("restore", QUESTION, "by_shop", "one_by_one", "not_made", "made", stop=True)
    MADE_BEFORE = _of("line", QUESTION, "not_made", "made", stop=True)
    BACKUP = _of("ledger", "the backup failed", "close")
    DAMAGED = _of("ledger", "the ledger is damaged", "close", stop=True)
    ARCHIVE = _of("ledger", "the archive cannot be written", "close")

    @property
    def cause(self) -> str:
        """Give the cause in words; one exception may add a detail after a colon."""
        return self.value.cause

    @property
    def actions(self) -> tuple[str, ...]:
        """Give every answer of the kind."""
        return self.value.actions

    @property
    def severity(self) -> str:
        """Give `stop` where work stands still, else `warning`."""
        return "stop" if self.value.stop else "warning"

    def because(self, detail: str) -> str:
        """Give the cause of one exception, with its detail where it has one."""
        return f"{self.cause}: {detail}" if detail else self.cause

    def check(self, subject: str, actions: Sequence[str]) -> None:
        """Raise `ValueError` for a subject or answers that the kind does not know."""
        if subject.partition(":")[0] not in self.value.about:
            raise ValueError(f"{self.name} is about {' or '.join(self.value.about)}, not {subject!r}")
        if not actions or not set(actions) <= set(self.actions):
            raise ValueError(
                f"{self.name} is answered by {', '.join(self.actions)}, not {', '.join(actions) or 'none'}"
            )


def kind_of(subject: str, cause: str) -> Kind | None:
    """Find the kind of an exception by what it is about and its cause; None for one that an older version asked."""
    about, plain = subject.partition(":")[0], cause.partition(": ")[0]
    return next((kind for kind in Kind if about in kind.value.about and kind.cause == plain), None)
