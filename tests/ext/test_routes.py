"""The server extension: what it answers, and to whom."""

from __future__ import annotations

import json

import pytest
from tornado.httpclient import HTTPClientError

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def routes() -> list[str]:
    from nbray_ext.routes import handlers

    return [pattern.lstrip("/") for pattern, _ in handlers("/")]


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


def test_there_is_a_route():
    assert routes() == ["nbray/status"]


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_of_every_route_refuses_without_a_token(
    http_server_client, jp_base_url, jp_serverapp, method
):
    for route in routes():
        with pytest.raises(HTTPClientError) as caught:
            await http_server_client.fetch(
                jp_base_url + route, method=method, allow_nonstandard_methods=True, follow_redirects=False
            )
        assert caught.value.code == 403, (method, route)


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_of_every_route_refuses_a_wrong_token(http_server_client, jp_base_url, jp_serverapp, method):
    for route in routes():
        with pytest.raises(HTTPClientError) as caught:
            await http_server_client.fetch(
                jp_base_url + route,
                method=method,
                headers={"Authorization": "token not-this-one"},
                allow_nonstandard_methods=True,
                follow_redirects=False,
            )
        assert caught.value.code == 403, (method, route)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_methods_that_do_not_exist_say_so_with_a_token(jp_fetch, method):
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("nbray", "status", method=method, allow_nonstandard_methods=True)
    assert caught.value.code == 405


async def test_an_authorizer_is_asked(jp_fetch, jp_serverapp, monkeypatch):
    asked = []

    def is_authorized(handler, user, action, resource):
        asked.append((action, resource))
        return False

    monkeypatch.setattr(jp_serverapp.authorizer, "is_authorized", is_authorized)
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("nbray", "status")
    assert caught.value.code == 403
    assert asked == [("read", "nbray")]
