"""Values that may be written in two ways: a word or a number, a word or a mapping."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

# pydantic puts these into a finding's path; no key looks so.
WORD: Final = "<or a number>"  # a word that may be a number instead
NAME: Final = "<or a mapping>"  # a word that may be a mapping instead
NUMBER: Final = "<number>"
MAPPING: Final = "<mapping>"
SHAPES: Final = frozenset({WORD, NAME, NUMBER, MAPPING})


def _word_or_number(value: object) -> str:
    return WORD if isinstance(value, str) else NUMBER


def _word_or_mapping(value: object) -> str:
    return MAPPING if isinstance(value, Mapping | BaseModel) else NAME


WordOrNumber = Discriminator(_word_or_number)
WordOrMapping = Discriminator(_word_or_mapping)

Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Hours = Annotated[float, Field(ge=0, le=8784, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]

Auto = Annotated[Literal["auto"], Tag(WORD)]
FromShop = Annotated[Literal["shop"], Tag(WORD)]
AutoAmount = Annotated[Auto | Annotated[Amount, Tag(NUMBER)], WordOrNumber]
AutoHours = Annotated[Auto | Annotated[Hours, Tag(NUMBER)], WordOrNumber]
ShopPrice = Annotated[
    FromShop | Annotated[float, Field(ge=0.01, le=1e12, allow_inf_nan=False), Tag(NUMBER)], WordOrNumber
]
ShopAmount = Annotated[FromShop | Annotated[Amount, Tag(NUMBER)], WordOrNumber]
