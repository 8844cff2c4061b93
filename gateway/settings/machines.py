"""The section `machines`: where a machine is, how its connection is protected, how far Kvot may go with it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.settings.times import CalendarText
from gateway.settings.values import Day, File, Fingerprint, MachineUrl, Model, Name, Text, TopicLevel


class RiskAssessment(Model):
    """The document that allows starts by Kvot: delivery promise, who may start what."""

    ref: Text
    """Number of the document."""
    by: Text
    """Role or department that signed it."""
    date: Day
    """Day it was signed."""


class EffectAcceptance(Model):
    """The signature under what a profile says of its machine's memory, in place of a probe."""

    by: Text
    """Name of who accepts it."""
    date: Day
    """Day it was accepted."""
    ref: Text
    """What it rests on, such as the number of a test report."""


class Unattended(Model):
    """The signature under work that ends when nobody is there."""

    by: Text
    """Role or department that signed it."""
    date: Day
    """Day it was signed."""


class SecuritySettings(Model):
    """How the connection to an OPC UA server is protected: SignAndEncrypt, and only with this server."""

    server_fingerprint: Fingerprint
    """sha256: and the fingerprint of the server's certificate."""
    certificate: File | None = None
    """Our own certificate (DER); default: the gateway's own."""
    private_key: File | None = None
    """The key of our certificate (PEM), mode 0600; default: the gateway's own."""

    @model_validator(mode="after")
    def _pair(self) -> "SecuritySettings":
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together; give both or none")
        return self


def _none_in_words(value: object) -> object:
    if value == "none":
        return None
    if value is None or isinstance(value, str):
        raise ValueError("write {server_fingerprint: sha256:...}, or none to talk without protection")
    return value


def _none_in_schema(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"const": "none"} if option == {"type": "null"} else option for option in schema["anyOf"]]
    schema.pop("default", None)


class MachineSettings(Model):
    """A physical machine or a station, its address, and how far Kvot may go with it."""

    profile: Name
    """Its type: a name under profiles, or a file machines/NAME.yaml."""
    url: MachineUrl = ""
    """opc.tcp://host[:4840], modbus://host[:502]/unit, modbus+rtu://.., modbus+serial://..; a station has none."""
    area: TopicLevel
    """Third level of the MQTT topics."""
    line: TopicLevel
    """Fourth level of the MQTT topics; the machine's name is the fifth."""
    security: Annotated[
        SecuritySettings | None, BeforeValidator(_none_in_words), Field(json_schema_extra=_none_in_schema)
    ] = None
    """For OPC UA, and needed there: the server's certificate for SignAndEncrypt, or `none` in words."""
    control: Literal["read", "load", "start"] = "read"
    """The highest control level that arming may put in force: watch, load jobs, or ask for their start."""
    risk_assessment: RiskAssessment | None = None
    """Needed for control: start."""
    effect_accepted: EffectAcceptance | None = None
    """Without it nothing is sent before `kvot probe machine NAME` has proven the profile's effect."""
    unattended: Unattended | None = None
    """Without it a job that would end outside staffed hours is loaded, and not started."""
    calendar: CalendarText | None = None
    """When it is worked at, such as `mon-fri,sat 06-22`; default: the site's."""
    hot_folder: File | None = None
    """Folder where it finds the files of its jobs, as JOB-NAME.pdf; never one whose machine makes all that appears."""

    @model_validator(mode="after")
    def _allowed(self) -> "MachineSettings":
        if self.control == "start" and self.risk_assessment is None:
            raise ValueError(
                "control: start needs risk_assessment: {ref: .., by: .., date: ..}; without one, use control: load"
            )
        return self
