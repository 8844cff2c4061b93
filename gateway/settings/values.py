"""The kinds of single values a configuration knows: names, addresses, durations, secrets."""

import ipaddress
import json
import re
import zoneinfo
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import core_schema

from gateway.settings.faults import meant, shown
from gateway.settings.secrets import Secret, SecretStore
from gateway.settings.source import SecretName

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_FINGERPRINT: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_SCALAR: Final = 4096


class Model(BaseModel):
    """A part of the configuration: every key known and typed, nothing converted in silence, nothing changed later."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


def is_loopback(url: str) -> bool:
    """Say whether an address leads to this computer only."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, *schemes: str) -> str:
    """Give an address back without its trailing slash; raise ValueError with a cure if it is none."""
    if not url.isprintable() or " " in url:
        raise ValueError("an address has no blanks or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"not an address: {shown(error)}") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user and password do not belong in an address; give them by keys of their own and !secret")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("must end before '?' and '#'")
    if port == 0:
        raise ValueError("0 is not a port")
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) and not _is_ip(host):
        raise ValueError(f"'{shown(host)}' is not a host name or address")
    return url.rstrip("/")


def _complete(url: str) -> str:
    """Write out the port and the unit that a protocol takes where none is given, so that equals look equal."""
    parts = urlsplit(url)
    port = {"opc.tcp": 4840, "modbus": 502}.get(parts.scheme)
    if port is not None and parts.port is None:
        parts = parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{port}")
    if parts.scheme == "modbus" and not parts.path:
        parts = parts._replace(path="/1")
    return parts.geturl()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _url(*schemes: str) -> Any:
    return AfterValidator(lambda url: check_url(url, *schemes))


def _secret(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, SecretName):
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueError only
            f"must not stand here in clear text; write `{info.field_name}: !secret NAME` and put the value into"
            " secrets/NAME beside the configuration (mode 0600), a systemd credential, or KVOT_SECRET_NAME"
        )
    context = cast("dict[str, Any]", info.context or {})
    store: SecretStore = context.get("store") or SecretStore(directory=None, environment={})
    secret = store.find(value.name)
    if secret.problem and context.get("need_secrets", True):
        raise ValueError(f"secret '{value.name}' {secret.problem}")
    return secret


def _secret_schema(_source: object, _handler: object) -> core_schema.CoreSchema:
    return core_schema.with_info_plain_validator_function(
        _secret, serialization=core_schema.plain_serializer_function_ser_schema(repr, when_used="json")
    )


def _timezone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        cure = meant(name, zoneinfo.available_timezones()).partition("; known")[0]
        raise ValueError(f"'{shown(name)}' is not a time zone such as Europe/Stockholm{cure}") from None
    return name


def _fingerprint(text: str) -> str:
    plain = text.lower().replace(":", "").removeprefix("sha256")
    normal = f"sha256:{plain}"
    if not text.lower().startswith("sha256:") or not _FINGERPRINT.fullmatch(normal):
        raise ValueError("must be sha256: and the 64 hexadecimal digits of the certificate's fingerprint")
    return normal


def _date(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a day such as 2026-05-04") from None


def _time(value: object) -> datetime:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time with its zone such as 2026-05-04T06:00:00Z")


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("must be the path of a file")
    directory = (info.context or {}).get("directory")
    return Path(directory) / value if directory else Path(value)


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    kept = [(type(value), value) for value in values]  # true is no 1 here
    twice = sorted({shown(value) for _, value in kept if kept.count((type(value), value)) > 1})
    if twice:
        raise ValueError(f"given twice: {', '.join(twice)}")
    return values


def _scalar(value: object) -> bool | int | float | str:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, str) and len(value) > _MAX_SCALAR):
        raise ValueError("must be a number, a text of at most 4096 characters, true or false")
    return value


def _constant(value: object) -> object:
    """Let numbers, true and false stand for themselves: each is an expression of its own."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a character that cannot be printed")
    return text


def _matching(pattern: str, words: str) -> Any:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"'{shown(text)}' must be {words}")
        return text

    return check


_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}"
_SITE: Final = r"[A-Z0-9]{1,8}"
_LEVEL: Final = r"[^\s/+#$\x00-\x1f\x7f][^\s/+#\x00-\x1f\x7f]{0,63}"

Name = Annotated[
    str,
    AfterValidator(_matching(_NAME, "letters, digits, - and _, at most 40, beginning with a letter or digit")),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME}$"}),
]
SiteId = Annotated[
    str,
    AfterValidator(_matching(_SITE, "1 to 8 characters A-Z and 0-9: it begins every job's id")),
    WithJsonSchema({"type": "string", "pattern": f"^{_SITE}$"}),
]
TopicLevel = Annotated[
    str,
    AfterValidator(_matching(_LEVEL, "one MQTT topic level: no blanks, /, + or #, at most 64 characters")),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^\\s/+#]+$"}),
]
TopicBase = Annotated[
    str,
    AfterValidator(_matching(rf"{_LEVEL}(?:/{_LEVEL}){{0,7}}", "MQTT topic levels joined by /, without + and #")),
    WithJsonSchema({"type": "string", "pattern": "^[^\\s/+#]+(/[^\\s/+#]+)*$"}),
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Formula = Annotated[
    str,
    BeforeValidator(_constant),
    StringConstraints(min_length=1, max_length=1000),
    WithJsonSchema({"type": ["string", "number", "boolean"], "minLength": 1, "maxLength": 1000}),
]
Currency = Annotated[
    str,
    AfterValidator(_matching(r"[A-Z]{3}", "three capital letters of ISO 4217, such as SEK")),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"}),
]
FieldPath = Annotated[
    str,
    AfterValidator(
        _matching(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*){0,3}", "a field's dotted name, such as billing.email")
    ),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_.]*$"}),
]
Timezone = Annotated[str, AfterValidator(_timezone)]
Fingerprint = Annotated[
    str, AfterValidator(_fingerprint), WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9A-Fa-f:]{64,95}$"})
]
HttpUrl = Annotated[str, _url("https", "http"), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
MqttUrl = Annotated[str, _url("mqtts", "mqtt"), WithJsonSchema({"type": "string", "pattern": "^mqtts?://"})]
MachineUrl = Annotated[
    str,
    _url("opc.tcp", "modbus", "modbus+rtu", "modbus+serial"),
    AfterValidator(_complete),
    WithJsonSchema({"type": "string", "pattern": "^(opc\\.tcp|modbus|modbus\\+rtu|modbus\\+serial)://"}),
]
Day = Annotated[date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
Moment = Annotated[datetime, BeforeValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})]
# A relative path is taken from the configuration's own directory.
File = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
ScalarValue = Annotated[
    Any, AfterValidator(_scalar), WithJsonSchema({"type": ["boolean", "number", "string"], "maxLength": 4096})
]
Distinct = AfterValidator(_distinct)
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
SecretValue = Annotated[
    Secret,
    GetPydanticSchema(_secret_schema),
    WithJsonSchema({"type": "string", "description": "`!secret NAME`, never the value itself"}),
]
