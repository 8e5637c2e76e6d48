"""Fixtures of tests/cluster and tests/faults: clusters which every test has to leave as it found them."""

import cloudpickle
import cluster_kit as kit
import pytest

import nbray
from nbray.core import lease_pool

DEFAULT_CLUSTER = {"num_cpus": 2, "object_store_memory": 128 * 2**20}
TEST_LIMIT_S = 150.0


@pytest.fixture(autouse=True, scope="module")
def _by_value(request):
    """Tasks defined in test modules go to workers by value: those cannot import the tests."""
    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)


@pytest.fixture(scope="module")
def cluster(request):
    """The module's cluster; a module may define CLUSTER."""
    nbray.shutdown()
    nbray.init(**getattr(request.module, "CLUSTER", DEFAULT_CLUSTER))
    yield nbray
    nbray.shutdown()


@pytest.fixture
def ray(cluster, request):
    """The cluster. After the test all resources and all memory of the store must be back."""
    if not nbray.is_initialized():
        nbray.init(**getattr(request.module, "CLUSTER", DEFAULT_CLUSTER))
    kit.settle()
    before = kit.used()
    yield nbray
    kept_s, lease_pool.IDLE_LEASE_S = lease_pool.IDLE_LEASE_S, 0.0  # idle leases go back at once, to save time
    try:
        with kit.no_hang(what="coming to rest after the test"):
            kit.settle(before)
    finally:
        lease_pool.IDLE_LEASE_S = kept_s


@pytest.fixture
def fresh():
    """nbray for tests that start and stop clusters themselves; none runs before and none after."""
    nbray.shutdown()
    yield nbray
    nbray.shutdown()


@pytest.fixture(autouse=True)
def _limit(request):
    """End a test that hangs, and give the next one a new cluster."""
    marker = request.node.get_closest_marker("limit")
    seconds = (marker.args[0] if marker else TEST_LIMIT_S) * max(1.0, kit.SCALE)
    with kit.no_hang(seconds, request.node.name) as expired:
        yield
    if expired:
        nbray.shutdown()


@pytest.fixture
def gate(tmp_path):
    """A closed gate; opened at the end so that nothing stays blocked."""
    gate = kit.Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def ledger(tmp_path):
    """An empty list of marks that processes append to and the test reads."""
    return kit.Ledger(tmp_path / "ledger")


@pytest.fixture
def start_driver():
    """Start drivers as processes of their own: ``start_driver(program, *arguments)``."""
    started = []

    def start(program, *arguments, **options):
        started.append(kit.Driver(program, *arguments, **options))
        return started[-1]

    yield start
    for driver in started:
        driver.close()
