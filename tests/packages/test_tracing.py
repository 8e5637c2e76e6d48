"""sentry-sdk: its integration replaces ``ray.remote`` and follows tasks into the workers."""

from __future__ import annotations

import pytest


@pytest.fixture
def events():
    import ray
    import sentry_sdk
    from sentry_sdk.integrations.ray import RayIntegration
    from sentry_sdk.transport import Transport

    before = ray.remote
    caught = []

    class Keep(Transport):
        def capture_envelope(self, envelope):
            caught.extend(item.payload.json for item in envelope.items)

    sentry_sdk.init(
        dsn="http://key@localhost/1", integrations=[RayIntegration()], traces_sample_rate=1.0, transport=Keep()
    )
    yield caught
    sentry_sdk.init()
    ray.remote = before


def test_spans_of_tasks(events):
    import ray
    import sentry_sdk

    @ray.remote
    def increment(x):
        return x + 1

    with sentry_sdk.start_transaction(op="test", name="the transaction"):
        assert ray.get(increment.remote(1)) == 2
    sentry_sdk.flush()
    (transaction,) = [e for e in events if e and e.get("transaction") == "the transaction"]
    assert [span["op"] for span in transaction["spans"]] == ["queue.submit.ray"]
