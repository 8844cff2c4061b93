"""The section `products`: an article and the steps by which it is made."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from gateway.settings.files import FileSettings
from gateway.settings.shapes import MAPPING, NAME, WordOrMapping
from gateway.settings.values import Formula, Model, Name

Places = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Files = Annotated[Mapping[Name, FileSettings], Field(max_length=20)]


class TransferSettings(Model):
    """Pieces go on to a step in batches."""

    batches: Annotated[int, Field(ge=1, le=1_000_000)]
    """Pieces of a batch."""


class StepSettings(Model):
    """One operation of a route."""

    operation: Name = "make"
    """What is done in this step."""
    family: Name | None = None
    """Products that share one set-up: a name under families."""
    station: Name | None = None
    """Instead of a family: a station under machines, where a person does it."""
    recipe: Name | None = None
    """The recipe of the machine type that makes it; default: the operation's name."""
    parameters: Mapping[Name, Formula] = Field(default_factory=dict)
    """Each recipe parameter as a CEL expression over `line` and `order`."""
    places: Places = 1.0
    """Places that a piece takes in a run."""
    transfer: Annotated[
        Annotated[Literal["all"], Tag(NAME)] | Annotated[TransferSettings, Tag(MAPPING)], WordOrMapping
    ] = "all"
    """How pieces of the step before come here: all at once, or {batches: n}."""
    expected_yield: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """Share of pieces that become good; the steps before make so many more."""
    drives_price: bool = False
    """Whether this step's run gives price, promise and campaign; default: the one whose set-up costs most a place."""
    files: Files = Field(default_factory=dict)
    """Artwork and documents that this step's machine needs, by name."""

    @property
    def group(self) -> str:
        """Give the family, or the station, which is a family of its own."""
        return self.family or self.station or ""

    @property
    def recipe_name(self) -> str:
        """Give the recipe, whichever way it was written."""
        return self.recipe or self.operation

    @property
    def batch(self) -> int | None:
        """Give the pieces of a batch, None where all come at once."""
        return self.transfer.batches if isinstance(self.transfer, TransferSettings) else None

    @model_validator(mode="after")
    def _one_place(self) -> "StepSettings":
        if (self.family is None) == (self.station is None):
            raise ValueError("give a family, or a station where a person does it")
        return self


class ProductSettings(Model):
    """An article and how it becomes work. The name is an article number or a pattern such as GIFT-*."""

    make: bool = True
    """false: never produced here (freight, gift cards, stock goods)."""
    match: Formula | None = None
    """CEL condition over `line`, tried when no article number fits."""
    operation: Name | None = None
    """What is done; default: make."""
    family: Name | None = None
    """Products that share one set-up: a name under families."""
    recipe: Name | None = None
    """The recipe of the machine type that makes it."""
    parameters: Mapping[Name, Formula] | None = None
    """Each recipe parameter as a CEL expression over `line` and `order`."""
    places: Places | None = None
    """Places that a piece takes in a run; default: 1."""
    files: Files | None = None
    """Artwork and documents that the machine needs, by name."""
    route: Annotated[tuple[StepSettings, ...], Field(min_length=1, max_length=20)] | None = None
    """The steps in order, instead of one family and recipe."""

    @property
    def steps(self) -> tuple[StepSettings, ...]:
        """Give the route, whichever way it was written."""
        if self.route is not None or not self.make or self.family is None or self.recipe is None:
            return self.route or ()
        return (
            StepSettings(
                operation=self.operation or "make",
                family=self.family,
                recipe=self.recipe,
                parameters=self.parameters or {},
                places=self.places or 1.0,
                files=self.files or {},
            ),
        )

    @model_validator(mode="after")
    def _one_way(self) -> "ProductSettings":
        keys = ("operation", "family", "recipe", "parameters", "places", "files")
        short = [key for key in keys if getattr(self, key) is not None]
        if not self.make:
            given = [*short, *(["route"] if self.route else [])]
            if given:
                raise ValueError(f"make: false stands alone; remove {', '.join(given)}")
        elif self.route is not None:
            if short:
                raise ValueError(f"route and {', '.join(short)} exclude each other; put them into the route's steps")
        elif missing := [key for key in ("family", "recipe") if getattr(self, key) is None]:
            raise ValueError(f"{' and '.join(missing)} missing; give family and recipe, or a route, or make: false")
        return self
