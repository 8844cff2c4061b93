"""Who asks, and how an answer that is not there is told: what every group of routes has in common."""

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

Reason = Annotated[str, Field(min_length=1, max_length=200)]


class Asked(BaseModel):
    """A body without keys that nobody knows."""

    model_config = ConfigDict(extra="forbid")


class ReasonAsked(Asked):
    """Why it is done."""

    reason: Reason


def person(request: Request) -> str:
    """Name who asks: on the control socket the peer's own user, which nobody can pretend."""
    client = request.client
    return f"person:{client.host}" if client is not None and client.host else "person:unknown"


Person = Annotated[str, Depends(person)]


def found(view: dict[str, Any] | None, otherwise: str) -> dict[str, Any]:
    """Give an answer; raise 404 where there is none."""
    if view is None:
        raise HTTPException(404, otherwise)
    return view
