"""What packages take from Ray's inner modules: helpers, constants, the client of the control store, the node."""

import asyncio
import importlib
import os
import threading

import pytest

from .kit import LIBRARY

CLUSTER = {"num_cpus": 2, "object_store_memory": 100 * 2**20}


def inner(name):
    return importlib.import_module(f"{LIBRARY}.{name}")


@pytest.fixture(scope="module")
def common():
    return inner("_common.utils")


@pytest.fixture(scope="module")
def utils():
    return inner("_private.utils")


def test_ids_and_text(common):
    assert common.hex_to_binary(common.binary_to_hex(b"\x00ab")) == b"\x00ab"
    assert common.decode(b"x") == "x" and common.decode(None, allow_none=True) == ""
    for wrong in (None, 3, "x"):
        with pytest.raises(ValueError, match="bytes"):
            common.decode(wrong)
    assert len(common.get_random_alphanumeric_string(7)) == 7


def test_variables_of_the_environment(common, monkeypatch):
    monkeypatch.setenv("A_NUMBER", "12")
    monkeypatch.setenv("A_FLAG", "True")
    assert (common.env_integer("A_NUMBER", 3), common.env_float("A_NUMBER", 3)) == (12, 12.0)
    assert common.env_bool("A_FLAG", False) is True
    assert (common.env_integer("NO_SUCH", 3), common.env_bool("NO_SUCH", True)) == (3, True)
    assert inner("_private.ray_constants").env_bool("A_FLAG", False) is True


def test_names_to_things(common):
    assert common.load_class("os.path.join") is common.import_attr("os.path:join") is os.path.join
    with pytest.raises(ValueError):
        common.load_class("nothing")


def test_event_loops(common):
    async def main():
        assert common.get_or_create_event_loop() is asyncio.get_running_loop()
        return await common.run_background_task(asyncio.sleep(0, 5))

    assert asyncio.run(main()) == 5
    found = []

    def elsewhere():
        loop = common.get_or_create_event_loop()
        found.append(common.get_or_create_event_loop() is loop and not loop.is_running())
        loop.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [True]


def test_facts_about_the_machine(utils, common, tmp_path):
    assert utils.get_num_cpus() >= 1
    assert 0 < utils.estimate_available_memory() <= common.get_system_memory()
    assert utils.get_used_memory() > 0 and utils.get_shared_memory_bytes() > 0
    (tmp_path / "file").write_bytes(bytes(1000))
    assert utils.get_directory_size_bytes(str(tmp_path)) == 1000
    assert utils.is_main_thread()


def test_addresses(utils):
    network = inner("_common.network_utils")
    assert network.build_address("a", 1) == "a:1" and network.parse_address("a:1") == ("a", "1")
    assert network.build_address("::1", 1) == "[::1]:1" and network.parse_address("[::1]:1") == ("::1", "1")
    assert network.parse_address("a") is None
    assert 0 < network.find_free_port() < 65536
    assert utils.split_address("ray://a:1") == ("ray", "a:1")
    with pytest.raises(ValueError):
        utils.split_address("a:1")


def test_what_cannot_be(utils):
    for wrong, error in ((3, TypeError), ("", ValueError)):
        with pytest.raises(error):
            utils.validate_namespace(wrong)
    utils.validate_namespace("x")
    utils.validate_actor_state_name("ALIVE")
    with pytest.raises(ValueError, match="RESTARTING"):
        utils.validate_actor_state_name("WELL")


def test_resources_of_bundles_under_their_own_names(utils):
    group = "0a" * 18
    held = {f"CPU_group_0_{group}": 1, f"CPU_group_{group}": 1, f"bundle_group_{group}": 1000, "GPU": 2}
    assert utils.parse_pg_formatted_resources_to_original(held) == {"CPU": 1, "GPU": 2}


def test_constants():
    constants = inner("_private.ray_constants")
    assert constants.RAY_ADDRESS_ENVIRONMENT_VARIABLE == "RAY_ADDRESS"
    assert (constants.DEFAULT_TASK_MAX_RETRIES, constants.ID_SIZE, constants.MIN_RESOURCE_GRANULARITY) == (3, 28, 1e-4)
    assert inner("_common.constants").HEAD_NODE_RESOURCE_NAME == "node:__internal_head__"


def test_a_client_of_the_table_of_keys(ray):
    client = inner("_raylet").GcsClient(address=ray.get_runtime_context().gcs_address)
    added = [
        client.internal_kv_put(b"key", value, again, b"space")
        for value, again in ((b"1", False), (b"2", False), (b"3", True))
    ]
    assert added == [1, 0, 0]
    assert client.internal_kv_get(b"key", b"space") == b"3" and client.internal_kv_get(b"other", b"space") is None
    assert client.internal_kv_exists(b"key", b"space") and not client.internal_kv_exists(b"key", b"elsewhere")
    assert client.internal_kv_keys(b"k", b"space") == [b"key"]
    assert client.internal_kv_multi_get([b"key", b"other"], b"space") == {b"key": b"3"}
    assert [client.internal_kv_del(b"key", False, b"space") for _ in range(2)] == [1, 0]
    node = ray.NodeID.from_hex(ray.get_runtime_context().get_node_id())
    assert client.check_alive([node, ray.NodeID.from_random()], 60) == [True, False]


def test_the_node_of_the_worker(ray):
    @ray.remote
    def facts():
        worker = inner("_private.worker")
        node = worker.global_worker.node
        return (
            node.address,
            node.node_ip_address,
            worker._global_node.session_name,
            worker.global_worker.gcs_client.address,
        )

    here = inner("_private.worker")
    node = here._global_node
    assert node.head and node.is_head() and node.node_id == ray.get_runtime_context().get_node_id()
    assert node.node_ip_address == here.global_worker.node_ip_address == ray.nodes()[0]["NodeManagerAddress"]
    assert node.address_info["session_dir"] == node.get_session_dir_path()
    assert os.path.basename(node.get_session_dir_path()) == node.session_name
    assert os.path.isdir(node.get_logs_dir_path())
    assert ray.get(facts.remote()) == (node.address, node.node_ip_address, node.session_name, node.gcs_address)
