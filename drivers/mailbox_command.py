"""Mailbox map v1: the payload of the command block, and whether a profile can be driven by it (pure)."""

import struct
from collections.abc import Sequence

from drivers.base import Command, CommandKind, Scalar
from drivers.mailbox import LOADING, PAYLOAD_WORDS, PermitBits
from drivers.profile import MailboxMap, MailboxRecipe, Profile, WordOrder
from drivers.scaling import Kind, Layout

_ORDER_CHARS = 32
_PARAMETERS = 16
_JOB_NO_MAX = 0xFFFF_FFFF
_RECIPE_MAX = 0xFFFF
_EXACT_MAX = 1 << 24  # float32 carries every whole number up to here
_CMD = {
    CommandKind.LOAD_START: 1,
    CommandKind.LOAD: 2,
    CommandKind.START: 3,
    CommandKind.STOP: 6,
    CommandKind.ABORT: 7,
    CommandKind.CLEAR: 8,
}
# WITHDRAW has no code in the map: the PLC itself takes a permission back when a permit falls.
KINDS = frozenset({*_CMD, CommandKind.CANCEL})


class UnsendableError(ValueError):
    """The map cannot carry this command."""


def encode_payload(command: Command, spec: MailboxMap) -> tuple[int, ...]:
    """Give the 56 words from CMD to PAYLOAD_CRC; raise `UnsendableError` for what the map cannot carry.

    Only a loading command carries quantity, recipe and parameters.
    """
    code = _CMD.get(command.kind)
    if code is None:
        raise UnsendableError(f"the mailbox has no command {command.kind.value}")
    if not 1 <= command.job_no <= _JOB_NO_MAX:
        raise UnsendableError(f"job number {command.job_no} is not between 1 and {_JOB_NO_MAX}")
    quantity, recipe = 0, MailboxRecipe(number=0)
    values: tuple[Scalar, ...] = ()
    if command.kind in LOADING:
        quantity, recipe = command.quantity, _recipe(command, spec)
        values = tuple(command.parameters[name] for name in recipe.parameters)
    if not 0 <= quantity <= _JOB_NO_MAX:
        raise UnsendableError(f"a quantity of {quantity} does not fit")
    floats = Layout(kind=Kind.FLOAT32, order=spec.word_order)
    parameters = [word for value in values for word in floats.encode(_number(value))]
    words = (
        code,
        *_words32(command.job_no, spec.word_order),
        *_words32(quantity, spec.word_order),
        recipe.number,
        len(values),
        *_order_id(command.job_id),
        *parameters,
        *(0,) * (2 * _PARAMETERS - len(parameters)),
    )
    return (*words, _crc_word(words))


def empty_payload() -> tuple[int, ...]:
    """Give a payload that asks for nothing (CMD 0): what a commit that arrives late will find."""
    words = (0,) * (PAYLOAD_WORDS - 1)
    return (*words, _crc_word(words))


def map_faults(profile: Profile) -> tuple[str, ...]:
    """List why a profile cannot be driven through the mailbox, wherever its blocks lie, as `key: what is wrong`."""
    spec = profile.mailbox
    if spec is None:
        return ("mailbox: missing; it says where the blocks lie and which number each recipe has",)
    found = []
    if spec.word_order not in {WordOrder.ABCD, WordOrder.CDAB}:
        found.append(f"mailbox.word_order: {spec.word_order} swaps the bytes of a register; ABCD or CDAB are possible")
    found += [f"recipes.{name}: has no number in mailbox.recipes" for name in profile.recipes.keys() - spec.recipes]
    for name, recipe in spec.recipes.items():
        found += [f"mailbox.recipes.{name}: {fault}" for fault in _recipe_faults(recipe, name, profile)]
    try:
        PermitBits.of(profile)
    except ValueError as error:
        found.append(f"permits: {error}")
    return tuple(sorted(found))


def crc16(octets: bytes) -> int:
    """Give the CRC-16/MODBUS of some bytes (polynomial 0xA001 reflected, start 0xFFFF)."""
    crc = 0xFFFF
    for octet in octets:
        crc = crc >> 8 ^ _CRC[(crc ^ octet) & 0xFF]
    return crc


def _crc_entry(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ 0xA001 if octet & 1 else octet >> 1
    return octet


_CRC = tuple(_crc_entry(octet) for octet in range(256))


def _crc_word(words: Sequence[int]) -> int:
    # 0 means "unchecked" to the PLC, so a payload whose CRC is 0 goes down as that.
    return crc16(struct.pack(f">{len(words)}H", *words))


def _words32(value: int, order: WordOrder) -> tuple[int, int]:
    high, low = value >> 16, value & 0xFFFF
    return (high, low) if order is WordOrder.ABCD else (low, high)


def _order_id(job_id: str) -> tuple[int, ...]:
    if not job_id.isascii() or not job_id.isprintable() or not 1 <= len(job_id) <= _ORDER_CHARS:
        raise UnsendableError(f"job id {job_id!r} is not 1 to {_ORDER_CHARS} plain characters")
    return struct.unpack(f">{_ORDER_CHARS // 2}H", job_id.encode("ascii").ljust(_ORDER_CHARS, b"\0"))


def _recipe(command: Command, spec: MailboxMap) -> MailboxRecipe:
    recipe = spec.recipes.get(command.recipe)
    if recipe is None:
        raise UnsendableError(f"recipe {command.recipe!r} has no number in the mailbox")
    if set(recipe.parameters) != set(command.parameters):
        raise UnsendableError(
            f"recipe {command.recipe!r} goes down with {', '.join(recipe.parameters) or 'no parameters'}, "
            f"the job has {', '.join(command.parameters) or 'none'}"
        )
    return recipe


def _number(value: Scalar) -> float:
    """Give a parameter as the float32 that carries it; raise where it would arrive as another number."""
    if isinstance(value, str):
        raise UnsendableError(f"{value!r} is a text, and the mailbox carries numbers")
    if isinstance(value, int) and abs(value) > _EXACT_MAX:
        raise UnsendableError(f"{value} would arrive rounded: a float32 is exact up to {_EXACT_MAX}")
    try:
        Layout(kind=Kind.FLOAT32).encode(float(value))
    except ValueError as error:
        raise UnsendableError(str(error)) from error
    return float(value)


def _recipe_faults(recipe: MailboxRecipe, name: str, profile: Profile) -> Sequence[str]:
    found = []
    if not 1 <= recipe.number <= _RECIPE_MAX:
        found.append(f"number {recipe.number} is not between 1 and 65535")
    if len(recipe.parameters) > _PARAMETERS:
        found.append(f"{len(recipe.parameters)} parameters, and {_PARAMETERS} fit")
    if len(set(recipe.parameters)) != len(recipe.parameters):
        found.append("a parameter stands twice")
    known = profile.recipes.get(name)
    if known is None:
        found.append("is not among the recipes")
    elif set(recipe.parameters) != set(known.parameters):
        found.append(f"parameters are not those of the recipe ({', '.join(known.parameters) or 'none'})")
    return found
