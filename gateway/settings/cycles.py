"""How long a machine cycle of a family is planned to take, before it is measured."""

from collections.abc import Iterator, Mapping

from drivers.profile import Profile
from gateway.settings.models import Sections


def planned_cycle_s(sections: Sections, profiles: Mapping[str, Profile], family: str) -> float | None:
    """Give the family's own cycle, else the slowest of the recipes used; None where one of them has none."""
    own = sections.families[family].cycle_s
    if own is not None:
        return own
    cycles = list(_cycles(sections, profiles, family))
    known = [cycle for cycle in cycles if cycle is not None]
    return max(known) if known and len(known) == len(cycles) else None


def _cycles(sections: Sections, profiles: Mapping[str, Profile], family: str) -> Iterator[float | None]:
    steps = [step for product in sections.products.values() for step in product.steps if step.family == family]
    for machine in sections.families[family].machines:
        settings = sections.machines.get(machine)
        profile = profiles.get(settings.profile) if settings is not None else None
        if profile is None:
            continue
        for step in steps:
            recipe = profile.recipes.get(step.recipe_name)
            if recipe is not None:
                yield recipe.cycle_s
