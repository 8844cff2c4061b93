"""An intent -> what goes over the wire: checked once more against the machine's type, then worded as a command."""

from collections.abc import Mapping

from drivers.base import Command, CommandKind
from drivers.profile import Profile
from gateway.domain.runs import cycles
from gateway.ledger.jobs import Intent

LOADING = frozenset({CommandKind.LOAD, CommandKind.LOAD_START})


def unsendable(intent: Intent, profile: Profile, pieces_per_cycle: Mapping[str, int]) -> str | None:
    """Say why an intent must not be sent to a machine of this type, or None; a load carries its recipe (R8)."""
    if intent.family not in pieces_per_cycle:
        return f"this machine makes no family {intent.family!r}"
    if intent.kind not in LOADING:
        return None
    recipe = profile.recipes.get(intent.recipe)
    if recipe is None:
        return f"this machine has no recipe {intent.recipe!r}"
    if recipe.version != intent.recipe_version:
        return f"recipe {intent.recipe!r} is version {recipe.version} now, not {intent.recipe_version} as at the order"
    return "; ".join(recipe.faults(intent.parameters)) or None


def as_command(intent: Intent, pieces_per_cycle: Mapping[str, int], *, deadline_s: float) -> Command:
    """Give the command of an intent; nothing of it is sent past the deadline, a reading of the monotonic clock."""
    return Command(
        kind=intent.kind,
        job_id=intent.job_id,
        job_no=intent.job_no,
        recipe=intent.recipe,
        recipe_version=intent.recipe_version,
        parameters=intent.parameters,
        quantity=intent.quantity,
        cycles=cycles(intent.quantity, pieces_per_cycle[intent.family]),
        deadline_s=deadline_s,
        labels=intent.labels,
        baseline=intent.baseline,
    )
