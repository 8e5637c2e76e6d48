"""``ray.cluster_utils.Cluster``, as far as one machine goes."""

import pytest

import nbray
from nbray.ray_names.cluster_utils import Cluster


def test_a_cluster_of_one_node():
    cluster = Cluster()
    assert cluster.address is None
    with pytest.raises(ValueError, match="num_cpu;"):
        cluster.add_node(num_cpu=1)
    with pytest.raises(RuntimeError, match="no node yet"):
        cluster.connect()
    node = cluster.add_node(num_cpus=3, resources={"custom": 2}, object_store_memory=64 * 2**20, dashboard_port=0)
    try:
        assert cluster.list_all_nodes() == [node]
        assert cluster.remaining_processes_alive()
        with pytest.raises(NotImplementedError, match="one node"):
            cluster.add_node()
        cluster.connect(namespace="mine")
        cluster.wait_for_nodes()
        assert nbray.cluster_resources()["CPU"] == 3
        assert nbray.cluster_resources()["custom"] == 2
        assert nbray.get_runtime_context().namespace == "mine"
        assert nbray.get(nbray.remote(lambda: 5).remote()) == 5
    finally:
        cluster.remove_node(node)
    assert not nbray.is_initialized()
    assert not node.remaining_processes_alive()
    assert cluster.list_all_nodes() == []
    cluster.shutdown()
    with pytest.raises(RuntimeError, match="uninitialized"):
        Cluster(connect=True)


def test_the_node_goes_on_when_its_driver_has_left():
    """A process may be its driver several times, as tests are that share a cluster."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for x in range(3):
            nbray.init(cluster.address)
            assert nbray.get(nbray.remote(lambda x: x + 1).remote(x)) == x + 1
            nbray.shutdown()
            assert cluster.remaining_processes_alive()
    finally:
        cluster.shutdown()
