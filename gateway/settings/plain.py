"""The part `plain` of a machine type: where a machine without memory of jobs has its start and its signs."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from drivers.profile import Counting, Place, PlainMap, PlainRecipe, Unit, WordOrder
from gateway.settings.values import Model, Name

Address = Annotated[str, Field(min_length=1, max_length=500)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class PlaceSettings(Model):
    """Where one value lies: value = raw * scale + offset."""

    address: Address
    """Where it stands, in the protocol's notation: holding:100, or nsu=URI;s=Name."""
    type: Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"] = "uint16"
    """How it lies in registers; not needed over OPC UA, whose values carry their type."""
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    """How its bytes lie in 16-bit registers, A the most significant."""
    scale: Number = 1
    """Factor from the raw number to the value."""
    offset: Number = 0
    """Added after scaling."""

    def to_place(self) -> Place:
        """Give the drivers' own value."""
        return Place(**{**self.model_dump(), "order": WordOrder(self.order)})


class PlainRecipeSettings(Model):
    """A recipe as a plain machine knows it."""

    number: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] | None = None
    """Its number, written to plain.recipe; only where there is one."""
    parameters: Mapping[Name, PlaceSettings] = Field(default_factory=dict)
    """Where each parameter of the recipe is written."""

    def to_recipe(self) -> PlainRecipe:
        """Give the drivers' own value."""
        places = {name: place.to_place() for name, place in self.parameters.items()}
        return PlainRecipe(number=self.number, parameters=places)


class PlainSettings(Model):
    """Where a machine without memory of jobs has its start, its signs of work, its counters and parameters."""

    start: Address
    """Starts by its rising edge; written by Kvot."""
    start_clears: bool = True
    """Whether the machine takes the start back by itself; otherwise Kvot does."""
    busy: Address
    """On while a batch is in the machine, interrupted or not."""
    done: Address
    """On from the end of a batch until the next start."""
    reset_done: Address | None = None
    """Its rising edge takes done back; written by Kvot once a result is stored."""
    good: PlaceSettings
    """The counter of good pieces."""
    scrap: PlaceSettings
    """The counter of scrap."""
    counting: Literal["total", "batch"] = "total"
    """total: the counters are never reset; batch: each start sets them to 0, which proves less."""
    pieces_per_count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """What one step of the counters stands for; above 1 only with quantity_in: cycles."""
    quantity: PlaceSettings
    """Where the size of the batch is written."""
    quantity_in: Literal["pieces", "cycles"] = "pieces"
    """What the quantity is a number of."""
    recipe: PlaceSettings | None = None
    """Where the number of the recipe is written."""
    boot: PlaceSettings | None = None
    """Anything that is another value after each start of the controller; without it each new session counts as one."""
    scan_s: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.1
    """The longest the controller takes to go round once, seconds."""
    recipes: Mapping[Name, PlainRecipeSettings] = Field(default_factory=dict)
    """The number of each recipe, and where its parameters lie."""

    def to_map(self) -> PlainMap:
        """Give the drivers' own value."""
        return PlainMap(
            start=self.start,
            start_clears=self.start_clears,
            busy=self.busy,
            done=self.done,
            reset_done=self.reset_done,
            good=self.good.to_place(),
            scrap=self.scrap.to_place(),
            counting=Counting(self.counting),
            pieces_per_count=self.pieces_per_count,
            quantity=self.quantity.to_place(),
            quantity_in=Unit(self.quantity_in),
            recipe=self.recipe.to_place() if self.recipe else None,
            boot=self.boot.to_place() if self.boot else None,
            scan_s=self.scan_s,
            recipes={name: recipe.to_recipe() for name, recipe in self.recipes.items()},
        )
