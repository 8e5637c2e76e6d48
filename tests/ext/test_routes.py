"""The server extension: what it answers, and that an authorizer has a say."""

from __future__ import annotations

import json

import pytest
from tornado.httpclient import HTTPClientError


async def test_status_tells_version_and_host(jp_fetch):
    response = await jp_fetch("nbray", "status")
    assert response.code == 200
    assert response.headers["Content-Type"].startswith("application/json")
    status = json.loads(response.body)
    assert set(status) == {"nbray", "python", "host"}
    host = status["host"]
    assert host["cpus"] >= 1
    assert 0 <= host["cpu_percent"] <= 100
    assert 0 < host["memory_available"] <= host["memory_total"]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("nbray", "status", method=method, allow_nonstandard_methods=True)
        assert caught.value.code == 405


async def test_an_authorizer_is_asked(jp_fetch, jp_ws_fetch, jp_serverapp, monkeypatch):
    asked = []

    def is_authorized(handler, user, action, resource):
        asked.append((action, resource))
        return False

    monkeypatch.setattr(jp_serverapp.authorizer, "is_authorized", is_authorized)
    for method, path in (
        ("GET", "status"), ("GET", "clusters"), ("POST", "clusters"), ("DELETE", "clusters/session_1"),
    ):  # fmt: skip
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("nbray", *path.split("/"), method=method, allow_nonstandard_methods=True)
        assert caught.value.code == 403
    for path in ("clusters/feed", "clusters/session_1/feed"):
        with pytest.raises(HTTPClientError) as caught:
            await jp_ws_fetch("nbray", *path.split("/"))
        assert caught.value.code == 403
    assert [action for action, _ in asked] == ["read", "read", "write", "write", "read", "read"]
    assert {resource for _, resource in asked} == {"nbray"}
