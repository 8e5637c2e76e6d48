"""Who gets an answer: every route, every method and the websocket, for strangers of every kind; and the clusters."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from nbray_ext.routes import handlers

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "websocket"]
UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip
# All that the extension answers, however many that are; `test_routes.py` looks whether the server has others of ours.
ROUTES = [re.sub(r"\(session_.*?\)", "session_1", pattern) for pattern, _ in handlers("/")]

STRANGERS = {
    "no login": ({}, {}),
    "bad token": ({"Authorization": "token not-this-one"}, {}),
    "foreign origin": ({"Origin": "https://evil.example"}, {"login": True, "xsrf": True}),
    "foreign origin with token": ({"Origin": "https://evil.example", "Authorization": "token correct-horse"}, {}),
    "foreign host": ({"Host": "evil.example"}, {"login": True, "xsrf": True}),
    "no XSRF token": ({}, {"login": True}),
    "foreign referer": ({"Referer": "https://evil.example/page"}, {"login": True}),
}


def test_there_are_routes_to_ask():
    assert len(ROUTES) >= 5 and all(re.fullmatch(r"/nbray/[a-z0-9_/]+", route) for route in ROUTES), ROUTES


@pytest.mark.parametrize("stranger", list(STRANGERS))
def test_no_stranger_gets_an_answer(server, stranger):
    headers, options = STRANGERS[stranger]
    answered = []
    for route in ROUTES:
        for method in METHODS:
            if method == "websocket":
                status, _ = server.ask("GET", route, {**UPGRADE, **headers}, **options)
            else:
                status, _ = server.ask(method, route, headers, "{}" if method[0] == "P" else None, **options)
            if status < 300:
                answered.append((method, route, status))
    assert answered == []


def test_the_same_requests_of_a_page_are_answered(server):
    """Otherwise the test above would say nothing."""
    assert server.ask("GET", "/nbray/status", login=True, xsrf=True)[0] == 200
    origin = {"Origin": f"http://127.0.0.1:{server.port}"}
    path = f"/nbray/clusters/feed?_xsrf={server.cookies['_xsrf']}"
    assert server.ask("GET", path, {**UPGRADE, **origin}, login=True)[0] == 101


def test_nothing_changes_by_get_and_names_are_no_paths(server):
    for name in ("..", "session_x%2F..", "%2Ftmp", "session_1;id"):
        assert server.ask("DELETE", f"/nbray/clusters/{name}", login=True, xsrf=True)[0] == 404
    for body in ('{"num_cpus": "1; id"}', '{"head": true}', "[]", '{"num_cpus": -1}', "{"):
        assert server.ask("POST", "/nbray/clusters", body=body, login=True, xsrf=True)[0] == 400


def test_a_cluster_from_start_to_stop(server):
    """Start, list, listen, stop; a task of a driver is seen by the feed although there is no kernel."""

    def ask(*what, **more):
        status, text = server.ask(*what, login=True, xsrf=True, **more)
        return status, json.loads(text) if text else None

    status, started = ask("POST", "/nbray/clusters", body='{"num_cpus": 1, "object_store_memory": 100000000}')
    assert status == 201, started
    try:
        status, refused = ask("POST", "/nbray/clusters", body='{"object_store_memory": 1}')
        assert status == 409 and "object_store_memory" in refused["message"]
        # One more; each is stopped by its name.
        status, other = ask("POST", "/nbray/clusters", body='{"num_cpus": 1, "object_store_memory": 100000000}')
        assert status == 201, other
        assert {row["name"] for row in ask("GET", "/nbray/clusters")[1]} == {started["name"], other["name"]}
        assert ask("DELETE", f"/nbray/clusters/{other['name']}") == (204, None)
        (row,) = ask("GET", "/nbray/clusters")[1]
        assert row["name"] == started["name"] and row["figures"]["cpus_total"] == 1 and len(row["nodes"]) == 1
        path = f"/nbray/clusters/{started['name']}"
        assert ask("PATCH", path, body='{"num_cpus": 3}') == (204, None)
        assert ask("GET", "/nbray/clusters")[1][0]["figures"]["cpus_total"] == 3
        for body in (
            '{"num_cpus": 0}',
            '{"num_cpus": 1.5}',
            '{"num_cpus": "1; id"}',
            "{}",
            '{"num_cpus": 1, "x": 1}',
            "[]",
        ):
            assert ask("PATCH", path, body=body)[0] == 400
        status, refused = ask("PATCH", path, body='{"num_cpus": 1000000}')
        assert status == 409 and "CPUs" in refused["message"]
        assert ask("PATCH", path, body='{"num_cpus": 1}') == (204, None)
        seen = asyncio.run(asyncio.wait_for(listen(server, started), 60))
        assert seen == {"double", "Counter.count"}
    finally:
        assert ask("DELETE", f"/nbray/clusters/{started['name']}") == (204, None)
    assert ask("GET", "/nbray/clusters")[1] == []


DRIVER = """
import sys, nbray
nbray.init(address=sys.argv[1])
@nbray.remote
def double(x): return 2 * x
@nbray.remote(num_cpus=0)
class Counter:
    def count(self): return 1
counter, kept = Counter.remote(), nbray.put(bytes(500_000))
print(nbray.get(double.remote(4)), nbray.get(counter.count.remote()), flush=True)
sys.stdin.read()"""


async def listen(server, started):
    """The names of the functions that the feed tells of, once a driver's task is done."""
    url = f"ws://127.0.0.1:{server.port}/nbray/clusters/{started['name']}/feed"
    request = HTTPRequest(url, headers={"Authorization": f"token {server.TOKEN}"})
    socket = await websocket_connect(request, max_message_size=2**26)
    first = json_of(await socket.read_message())
    assert first["seq"] == 1 and first["cluster"]["cpus_total"] == 1
    await socket.write_message('{"v": 1, "tasks": true}')
    # Changes come, and not only the first look at all there is.
    while json_of(await socket.read_message()).get("frame", {}).get("kind") != "delta":
        pass
    line = [sys.executable, "-c", DRIVER, started["address"]]
    driver = subprocess.Popen(line, env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    names, counts = set(), []
    while len(names) < 2 or counts[4] < 2:
        message = json_of(await socket.read_message())
        if message.get("ask"):  # a page that does not say that it has read gets no more
            await socket.write_message(json.dumps({"v": 1, "ack": message["seq"]}))
        frame = message.get("frame", {"functions": [], "counts": counts})
        names |= {name for _, name, kind, _ in frame["functions"] if name}
        counts = frame["counts"]
    assert driver.stdout.readline() == b"8 1\n"

    async def ask(what):
        await socket.write_message(json.dumps({"v": 1, "request": 7, "what": what, "task": 0}))
        while (message := json_of(await socket.read_message())).get("reply") != 7:
            pass
        return message

    # The tables, though no driver is asked; what only drivers know is refused in a sentence.
    (actor,) = (await ask("actors"))["value"]["actors"]
    assert (actor["class"], actor["state"]) == ("Counter", "ALIVE")
    (node,) = (nodes := (await ask("nodes"))["value"])["nodes"]
    assert (node["state"], node["total"]["CPU"]) == ("alive", 1)
    assert driver.pid in {worker["pid"] for worker in nodes["workers"]}
    (kept,) = [row for row in (await ask("objects"))["value"]["objects"] if row["size"] > 400_000]
    assert driver.pid in {holder.get("pid") for holder in kept["by"]} and kept["no_free"]
    assert (await ask("task"))["error"] == "Only a notebook of this cluster can tell that."
    socket.close()
    assert driver.communicate(timeout=30) == (b"", None)
    return names


def json_of(message: bytes) -> dict:
    size = int.from_bytes(message[:4], "little")
    return json.loads(message[4 : 4 + size])
