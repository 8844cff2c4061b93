"""Lists longer than a page are read to their end."""

from typing import Any

import pytest

from gateway.cli import client

PAGES = {None: ([1, 2], 2), 2: ([3, 4], 4), 4: ([5], None)}


def test_a_list_is_read_page_by_page_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def get(path: str, *, query: dict[str, Any], **_where: object) -> dict[str, Any]:
        asked.append({"path": path, **query})
        items, following = PAGES[query.get("cursor")]
        return {"items": items, "next": following}

    monkeypatch.setattr(client, "get", get)
    found: list[Any] = client.get_all("/api/v1/jobs", query={"state": "released"}, socket=None, state=None)
    assert found == [1, 2, 3, 4, 5]
    assert [one.get("cursor") for one in asked] == [None, 2, 4]
    assert {(one["path"], one["state"]) for one in asked} == {("/api/v1/jobs", "released")}
