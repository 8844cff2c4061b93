"""Whether articles can be made: their steps, the machines for them, and the parameters those take."""

from collections.abc import Iterator, Mapping

from drivers.profile import Limit, Recipe
from gateway.expressions import ExpressionError, compile_expression
from gateway.settings.faults import Path, meant, path_text
from gateway.settings.routes import ProductSettings, StepSettings
from gateway.settings.scene import STATION, Remark, Scene


def faults(scene: Scene) -> Iterator[Remark]:
    """Find what keeps an article from being made."""
    for name, product in scene.sections.products.items():
        yield from _product(scene, name, product)


def result_of(limit: Limit) -> tuple[type, ...]:
    """Say which types an expression may give for a parameter with this limit."""
    if limit.one_of:
        kinds = {type(value) for value in limit.one_of}
        return tuple(kinds | {int, float}) if kinds & {int, float} else tuple(kinds)
    return (int, float) if limit.max_length is None else (str,)


def _product(scene: Scene, name: str, product: ProductSettings) -> Iterator[Remark]:
    here: Path = ("products", name)
    if product.match is not None:
        yield from _formula(product.match, (*here, "match"), (bool,))
    for number, step in enumerate(product.steps):
        at = (*here, "route", number) if product.route is not None else here
        yield from _step(scene, step, at)
    if product.route is not None:
        yield from _route(scene, product.route, (*here, "route"))


def _route(scene: Scene, route: tuple[StepSettings, ...], here: Path) -> Iterator[Remark]:
    if scene.has(*here, 0, "transfer"):
        text = "says how pieces come from the step before, and the first step has none; remove it"
        yield Remark(path=(*here, 0, "transfer"), text=text, of_key=True)
    driving = [number for number, step in enumerate(route) if step.drives_price]
    for number in driving[1:]:
        text = f"one step of a route drives the price, and step {driving[0] + 1} does already"
        yield Remark(path=(*here, number, "drives_price"), text=text)
    for number in driving[:1]:
        if route[number].station is not None:
            text = "a station has no run to be priced by; let the step of a family drive the price"
            yield Remark(path=(*here, number, "drives_price"), text=text)


def _step(scene: Scene, step: StepSettings, here: Path) -> Iterator[Remark]:
    if step.station is not None:
        yield from _at_station(scene, step.station, (*here, "station"))
    recipes = dict(_recipes(scene, step))
    for machine, recipe in recipes.items():
        if recipe is None:
            profile = scene.profile_of(machine)
            known = profile.recipes if profile else ()
            text = (
                f"machine '{machine}' (profile {profile.name if profile else '?'}) has no recipe '{step.recipe_name}'"
            )
            yield Remark(path=(*here, "recipe"), text=text + meant(step.recipe_name, known))
    found = {machine: recipe for machine, recipe in recipes.items() if recipe is not None}
    if len({recipe.version for recipe in found.values()}) > 1:
        versions = ", ".join(f"{recipe.version} on {machine}" for machine, recipe in found.items())
        text = f"recipe '{step.recipe_name}' has different versions: {versions}; a family's machines make the same"
        yield Remark(path=(*here, "recipe"), text=text)
    yield from _parameters(step, here, found)
    for name, file in step.files.items():
        yield from _formula(file.url, (*here, "files", name, "url"), (str,))
        for key, source in (("width_mm", file.width_mm), ("height_mm", file.height_mm)):
            if source is not None:
                yield from _formula(source, (*here, "files", name, key), (int, float))
    if step.files:
        yield from _delivered(scene, step, here)


def _delivered(scene: Scene, step: StepSettings, here: Path) -> Iterator[Remark]:
    for machine in scene.machines_for(step):
        if machine in scene.sections.machines and not scene.has("machines", machine, "hot_folder"):
            text = f"missing; the folder where it finds the files of its jobs ({path_text((*here, 'files'))})"
            yield Remark(path=("machines", machine, "hot_folder"), text=text, of_key=True)


def _at_station(scene: Scene, station: str, at: Path) -> Iterator[Remark]:
    profile = scene.profile_of(station)
    if profile is not None and profile.protocol != STATION:
        yield Remark(path=at, text=f"'{station}' is a machine (profile {profile.name}), no station; name a family")
    if station in scene.names["families"]:
        text = f"the station would be a family of its own, and families.{station} is one already; write family instead"
        yield Remark(path=at, text=f"{text}, or rename one of them")


def _recipes(scene: Scene, step: StepSettings) -> Iterator[tuple[str, Recipe | None]]:
    """Give the recipe on each machine of the step that could be read; None where it is not known."""
    for machine in scene.machines_for(step):
        profile = scene.profile_of(machine)
        if profile is not None:
            yield machine, profile.recipes.get(step.recipe_name)


def _parameters(step: StepSettings, here: Path, recipes: Mapping[str, Recipe]) -> Iterator[Remark]:
    limits = {name: limit for recipe in recipes.values() for name, limit in recipe.parameters.items()}
    for name, source in step.parameters.items():
        at = (*here, "parameters", name)
        if recipes and name not in limits:
            text = f"not a parameter of recipe '{step.recipe_name}'" + meant(name, limits)
            yield Remark(path=at, text=text, of_key=True)
        limit = limits.get(name)
        yield from _formula(source, at, result_of(limit) if limit else (bool, int, float, str))
    missing = sorted(set(limits) - set(step.parameters))
    if missing:
        text = f"recipe '{step.recipe_name}' also needs {', '.join(missing)}"
        yield Remark(path=(*here, "parameters"), text=text, of_key=True)


def _formula(source: str, at: Path, result: tuple[type, ...]) -> Iterator[Remark]:
    try:
        compile_expression(source, result=result)
    except ExpressionError as error:
        yield Remark(path=at, text=str(error))
