"""What is known of a machine's effect level: proven by a probe, accepted by name, or neither."""

from dataclasses import dataclass

from drivers.profile import Effect, Memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What the last probe of a machine proved, and of which machine and profile; None: nothing."""

    effect: Effect | None = None
    memory: Memory | None = None
    identity: str | None = None
    profile: str | None = None  # fingerprint

    def holds(self, effect: Effect, *, identity: str, profile: str) -> bool:
        """Say whether it proves this effect of the machine that answers now; it lapses with either."""
        return self.effect is effect and (self.identity, self.profile) == (identity, profile)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whether a machine may be sent jobs, and whether what it forgets at a restart can be told."""

    unproven: str | None  # why nothing is sent, with the cure
    memory_kept: bool  # its memory is known to survive a restart


TRUSTED = Trust(unproven=None, memory_kept=True)
_UNPROVABLE = (
    "memory persistent of counters cannot be proven by a probe: write memory: volatile into the profile, or accept it "
    "by name in YAML: machines.{machine}.effect_accepted"
)


def trust(
    machine: str, proof: Proof, *, effect: Effect, memory: Memory, accepted: bool, identity: str, profile: str
) -> Trust:
    """Judge a machine that says it is `identity`; `accepted`: somebody signed for its profile by name."""
    holds = proof.holds(effect, identity=identity, profile=profile)
    kept = memory is Memory.PERSISTENT and (accepted or (holds and proof.memory is Memory.PERSISTENT))
    if accepted:
        return Trust(unproven=None, memory_kept=kept)
    if effect is Effect.OBSERVABLE and memory is Memory.PERSISTENT:
        return Trust(unproven=_UNPROVABLE.format(machine=machine), memory_kept=False)
    return Trust(unproven=None if holds else _cure(machine, effect), memory_kept=kept)


def _cure(machine: str, effect: Effect) -> str:
    accept = f"accept it by name in YAML: machines.{machine}.effect_accepted"
    if effect is Effect.BLIND:
        return f"effect level {effect} cannot be proven: {accept}, or make it a station"
    return f"effect level {effect} not proven: run `kvot probe machine {machine}`, or {accept}"
