"""The server extension: what it answers, and that an authorizer has a say."""

from __future__ import annotations

import json
import re

import pytest
from tornado.httpclient import HTTPClientError

from nbray_ext.access import Access, NbrayHandler, NbraySocket
from nbray_ext.routes import handlers

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


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


def routes_of(router) -> dict[str, type]:
    """Everything below a router that has a handler of ours: pattern -> handler."""
    found = {}
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            found.update(routes_of(rule.target))
        elif any(kind.__module__.startswith("nbray_ext") for kind in getattr(rule.target, "__mro__", ())):
            found[rule.matcher.regex.pattern] = rule.target
    return found


def test_every_route_of_ours_is_in_the_list(jp_serverapp):
    """Which `test_access.py` walks; and each looks at who asks, before its method does anything."""
    app = jp_serverapp.web_app
    listed = {pattern + "$": handler for pattern, handler in handlers(app.settings["base_url"])}
    assert routes_of(app.default_router) == listed
    for handler in listed.values():
        assert issubclass(handler, Access)
        assert handler.prepare in (NbrayHandler.prepare, NbraySocket.prepare), handler


async def test_an_authorizer_is_asked(jp_fetch, jp_ws_fetch, jp_serverapp, monkeypatch):
    """By each method that a route of ours has, and before a connection is a websocket."""
    asked = []

    def is_authorized(handler, user, action, resource):
        asked.append((action, resource))
        return False

    monkeypatch.setattr(jp_serverapp.authorizer, "is_authorized", is_authorized)
    wanted = []
    for pattern, handler in handlers(""):
        path = re.sub(r"\(session_.*?\)", "session_1", pattern).split("/")
        if issubclass(handler, NbraySocket):
            wanted.append("read")
            with pytest.raises(HTTPClientError) as caught:
                await jp_ws_fetch(*path)
            assert caught.value.code == 403
            continue
        methods = [method for method in METHODS if getattr(handler, method.lower()).__module__.startswith("nbray_ext")]
        assert methods, handler
        for method in methods:
            wanted.append("read" if method in ("GET", "HEAD") else "write")
            with pytest.raises(HTTPClientError) as caught:
                await jp_fetch(*path, method=method, allow_nonstandard_methods=True)
            assert caught.value.code == 403
    assert [action for action, _ in asked] == wanted
    assert {resource for _, resource in asked} == {"nbray"}
