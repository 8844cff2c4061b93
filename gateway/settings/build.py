"""Settings become what the factory can make: articles with compiled routes, and families."""

from collections.abc import Callable, Mapping

from drivers.base import Scalar
from drivers.profile import Profile
from gateway.domain.files import FileRules
from gateway.domain.pricing.inputs import Policy
from gateway.domain.products import (
    MAKE_TO_ORDER,
    Changeover,
    ExpressionFaultError,
    Family,
    Needs,
    Product,
    Range,
    Setup,
    Step,
)
from gateway.expressions import compile_expression
from gateway.settings.build_rules import to_run_rules
from gateway.settings.check_routes import result_of
from gateway.settings.families import FamilySettings, SetupSettings
from gateway.settings.files import FileSettings
from gateway.settings.models import Sections
from gateway.settings.routes import ProductSettings, StepSettings
from gateway.settings.scene import STATION
from gateway.settings.times import duration_s

_SCALARS = (bool, int, float, str)
_BYTES_A_MB = 1_000_000


def to_range(sections: Sections, profiles: Mapping[str, Profile]) -> Range:
    """Compile everything the factory can make; `profiles` are the machine types by name."""
    families = {name: _family(sections, profiles, name) for name in sections.families}
    for product in sections.products.values():
        for step in product.steps:
            if step.station is not None:
                families[step.station] = _station(step.station)
    products = tuple(_product(sections, profiles, name, product) for name, product in sections.products.items())
    return Range(products=products, families=families)


def driving_step(sections: Sections, steps: tuple[StepSettings, ...]) -> int:
    """Give the position of the step that drives the price: as written, else the dearest set-up a place, K/C."""
    written = [number for number, step in enumerate(steps) if step.drives_price]
    return written[0] if written else max(range(len(steps)), key=lambda number: _share(sections, steps[number]))


def _share(sections: Sections, step: StepSettings) -> float:
    """Give K/C, the cost of a set-up for each place of a full run; below 0 at a station."""
    family = sections.families.get(step.family or "")
    if family is None:
        return -1.0
    if family.setup is None or family.run is None:
        return 0.0
    return (family.setup.cost_now or 0.0) / family.run.places


def _family(sections: Sections, profiles: Mapping[str, Profile], name: str) -> Family:
    settings = sections.families[name]
    kinds = {profiles[sections.machines[machine].profile].protocol for machine in settings.machines}
    setup = settings.setup
    return Family(
        name=name,
        machines=settings.machines,
        static_days=settings.promise.static_days,
        pieces_per_cycle=settings.pieces_per_cycle,
        remake_limit=settings.remake_limit,
        policy=Policy(settings.policy_name),
        run=to_run_rules(settings.run) if settings.run is not None else MAKE_TO_ORDER,
        setup=None if setup is None else _setup(setup),
        changeover=_changeover(settings),
        needs=Needs(material=dict(settings.needs.material), tools=settings.needs.tools),
        station=kinds == {STATION},
    )


def _setup(settings: SetupSettings) -> Setup:
    return Setup(first_piece=settings.first_piece, tool_code=settings.tool_code, confirm=settings.confirm)


def _changeover(settings: FamilySettings) -> Changeover:
    changes = {key: duration_s(text) for key, text in settings.changeover.items()}
    default_s = changes.pop("default", 0.0)
    return Changeover(default_s=default_s, from_s={key.partition("->")[0]: value for key, value in changes.items()})


def _station(name: str) -> Family:
    """Give the family that a station is by itself: nothing is promised or gathered for a person."""
    return Family(name=name, machines=(name,), static_days=0, station=True)


def _product(sections: Sections, profiles: Mapping[str, Profile], name: str, product: ProductSettings) -> Product:
    steps = product.steps
    driving = driving_step(sections, steps) if steps else None
    return Product(
        name=name,
        make=product.make,
        route=tuple(
            _step(sections, profiles, step, drives_price=number == driving) for number, step in enumerate(steps)
        ),
        match=None if product.match is None else _condition(product.match),
    )


def _step(sections: Sections, profiles: Mapping[str, Profile], step: StepSettings, *, drives_price: bool) -> Step:
    machine = step.station or sections.families[step.group].machines[0]
    limits = profiles[sections.machines[machine].profile].recipes[step.recipe_name].parameters
    parameters = {
        name: compile_expression(source, result=result_of(limits[name]) if name in limits else _SCALARS)
        for name, source in step.parameters.items()
    }
    return Step(
        operation=step.operation,
        family=step.group,
        recipe=step.recipe_name,
        parameters=parameters,
        places=step.places,
        batch=step.batch,
        expected_yield=step.expected_yield,
        drives_price=drives_price,
        files=tuple(_file(name, file) for name, file in step.files.items()),
    )


def _file(name: str, settings: FileSettings) -> FileRules:
    width, height = settings.width_mm, settings.height_mm
    return FileRules(
        name=name,
        url=compile_expression(settings.url, result=str),
        types=settings.kinds,
        max_bytes=int(settings.max_mb * _BYTES_A_MB),
        pages=settings.pages,
        min_dpi=settings.min_dpi,
        width_mm=None if width is None else compile_expression(width, result=(int, float)),
        height_mm=None if height is None else compile_expression(height, result=(int, float)),
    )


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
