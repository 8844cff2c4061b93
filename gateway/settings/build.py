"""Settings become the values that the domain decides with."""

from collections.abc import Callable, Mapping

from drivers.base import Scalar
from drivers.profile import Profile
from gateway.domain.products import ExpressionFaultError, Family, Product, Range, Step
from gateway.expressions import compile_expression
from gateway.settings.check import result_of
from gateway.settings.models import ProductSettings, Sections, StepSettings

_SCALARS = (bool, int, float, str)


def to_range(sections: Sections, profiles: Mapping[str, Profile]) -> Range:
    """Compile everything the factory can make; `profiles` are the machine types by name."""
    families = {
        name: Family(
            name=name,
            machines=family.machines,
            static_days=family.promise.static_days,
            pieces_per_cycle=family.pieces_per_cycle,
            remake_limit=family.remake_limit,
        )
        for name, family in sections.families.items()
    }
    products = tuple(_product(sections, profiles, name, product) for name, product in sections.products.items())
    return Range(products=products, families=families)


def _product(sections: Sections, profiles: Mapping[str, Profile], name: str, product: ProductSettings) -> Product:
    return Product(
        name=name,
        make=product.make,
        route=tuple(_step(sections, profiles, step) for step in product.steps),
        match=None if product.match is None else _condition(product.match),
    )


def _step(sections: Sections, profiles: Mapping[str, Profile], step: StepSettings) -> Step:
    machine = sections.machines[sections.families[step.family].machines[0]]
    limits = profiles[machine.profile].recipes[step.recipe].parameters
    parameters = {
        name: compile_expression(source, result=result_of(limits[name]) if name in limits else _SCALARS)
        for name, source in step.parameters.items()
    }
    return Step(operation=step.operation, family=step.family, recipe=step.recipe, parameters=parameters)


def _condition(source: str) -> Callable[[Mapping[str, object]], bool]:
    """Compile a `match:`; a line whose values it cannot be computed with does not match, and shows as unknown."""
    expression = compile_expression(source, result=bool)

    def matches(variables: Mapping[str, object]) -> bool:
        try:
            value: Scalar = expression(variables)
        except ExpressionFaultError:
            return False
        return value is True

    return matches
