"""JSON Schemas of kvot.yaml and of machine types, for editors; kept beside the example by a test."""

import json
from typing import Any, Final

from pydantic import BaseModel

from gateway.settings.models import Sections
from gateway.settings.profiles import ProfileSettings

FILES: Final = {"settings": "kvot.schema.json", "machine": "machine.schema.json"}
_MODELS: Final[dict[str, tuple[type[BaseModel], str]]] = {
    "settings": (Sections, "Kvot: kvot.yaml"),
    "machine": (ProfileSettings, "Kvot: a machine type, machines/NAME.yaml"),
}


def schema(kind: str) -> dict[str, Any]:
    """Generate the schema of `settings` or of a `machine` type."""
    model, title = _MODELS[kind]
    generated = model.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(generated), "title": title}


def schema_text(kind: str) -> str:
    """Write the schema as the file that is kept in config/."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def _plain(part: Any) -> Any:
    """Leave out the titles that only repeat a key, and refuse names that fit no pattern."""
    if isinstance(part, dict):
        plain = {
            key: _properties(value) if key == "properties" else _plain(value)
            for key, value in part.items()
            if key != "title"
        }
        return {**plain, "additionalProperties": False} if "patternProperties" in plain else plain
    return [_plain(item) for item in part] if isinstance(part, list) else part


def _properties(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in properties.items()}
