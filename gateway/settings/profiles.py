"""Machine types as files of their own: what one says, and how it becomes the drivers' `Profile`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from drivers.profile import Effect, Limit, Memory, PermitTags, Profile, Recipe
from gateway.settings.values import Distinct, Model, Name, ScalarValue, Seconds, Text

Address = Annotated[str, Field(min_length=1, max_length=500)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class LimitSettings(Model):
    """The allowed values of one recipe parameter: a range, a closed set, or a text of limited length."""

    min: Number | None = None
    """Smallest allowed number, in unit."""
    max: Number | None = None
    """Largest allowed number, in unit."""
    one_of: Annotated[tuple[ScalarValue, ...], Distinct] = ()
    """The only allowed values."""
    max_length: Annotated[int, Field(ge=1, le=4096)] | None = None
    """For texts: the largest number of characters."""
    unit: Annotated[str, Field(max_length=20)] = ""
    """Unit of the number."""

    @model_validator(mode="after")
    def _one_kind(self) -> "LimitSettings":
        kinds = [self.min is not None or self.max is not None, bool(self.one_of), self.max_length is not None]
        if sum(kinds) != 1:
            raise ValueError("give one kind of limit: min and max, or one_of, or max_length")
        if kinds[0] and (self.min is None or self.max is None):
            raise ValueError("min and max belong together")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class RecipeSettings(Model):
    """Named, limited parameters that make a product on this machine type."""

    version: Text
    """Version of the recipe, kept with every job; in quotes."""
    parameters: Mapping[Name, LimitSettings] = Field(default_factory=dict)
    """The parameters and their limits."""


class PermitSettings(Model):
    """Where the machine says what it allows; nothing is started without them."""

    remote: Address
    """The selector: true while the machine may be asked from outside."""
    ready: Address
    """Guards shut, reset done, no fault, production mode."""
    handed_over: Address | None = None
    """Start was pressed at the panel since a permit last fell."""


class ProfileSettings(Model):
    """A machine type. Addresses are texts in the protocol's notation (`nsu=URI;s=Name` for OPC UA)."""

    protocol: Name
    """How the machine is talked to: opcua."""
    dialect: Name
    """How jobs are given to it: isa95-jobs, which is ISA-95 Job Control (OPC 10031-4 V2)."""
    effect: Literal["remembered", "observable", "blind"]
    """How a doubtful start can be settled: by the machine's memory, by watching it, or not at all."""
    memory: Literal["persistent", "volatile"]
    """Whether the machine remembers its jobs over a restart."""
    clears_by_itself: bool
    """Whether the machine forgets finished jobs without being told to."""
    permits: PermitSettings
    """Where the machine says what it allows."""
    recipes: Annotated[Mapping[Name, RecipeSettings], Field(min_length=1)]
    """What it can make."""
    setup_code: Address | None = None
    """Where the machine names the tool that is fitted."""
    settle_s: Seconds = 2
    """Time after which an absent job is really absent, seconds."""
    poll_s: Seconds = 0.5
    """Time between two looks at the machine, seconds."""
    timeout_s: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 4
    """Deadline of one exchange with the machine, seconds."""
    labels: Mapping[Name, Text] = Field(default_factory=dict)
    """Names the machine uses for what it shows of an order."""

    def to_profile(self, name: str) -> Profile:
        """Give the drivers' own value of this machine type."""
        return Profile(
            name=name,
            protocol=self.protocol,
            dialect=self.dialect,
            effect=Effect(self.effect),
            memory=Memory(self.memory),
            clears_by_itself=self.clears_by_itself,
            permits=PermitTags(**self.permits.model_dump()),
            recipes={name: _recipe(recipe) for name, recipe in self.recipes.items()},
            setup_code=self.setup_code,
            settle_s=self.settle_s,
            poll_s=self.poll_s,
            timeout_s=self.timeout_s,
            labels=dict(self.labels),
        )


def _recipe(recipe: RecipeSettings) -> Recipe:
    limits = {name: Limit(**limit.model_dump()) for name, limit in recipe.parameters.items()}
    return Recipe(version=recipe.version, parameters=limits)
