"""Rows 43, 44, 46, 47, 49, 50, 52, 53, 60, 70, 73, 78 and 80: clusters that cannot be started or joined, or go away."""

import os
import pickle
import random
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import nbray
from nbray.api import runtime
from nbray.exceptions import (
    ClusterGoneError,
    ForeignObjectError,
    InsecureConfigurationError,
    ObjectLostError,
    PortInUseError,
    ResourceLimitError,
)
from nbray.job_config import JobConfig
from nbray.node import process_control
from nbray.session_layout import CONTROL_SOCKET, OWNER_FILE

SMALL = {"num_cpus": 1, "object_store_memory": 64 * 2**20}


@pytest.fixture
def fresh():
    """nbray without a cluster, before and after."""
    nbray.shutdown()
    yield nbray
    nbray.shutdown()


@pytest.fixture
def base(tmp_path_factory, monkeypatch):
    """A folder of its own for the sessions, short enough for sockets."""
    path = Path("/tmp") / f"nbj{os.getpid()}-{time.monotonic_ns() % 10**8}"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    for name in ("NBRAY_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    yield path
    nbray.shutdown()  # it is made before this, and so it would be ended after it
    deadline = time.monotonic() + 60
    while path.exists():  # a daemon whose driver was killed cleans up at the same time
        assert time.monotonic() < deadline
        subprocess.run(["rm", "-rf", str(path)], check=False, capture_output=True)


@pytest.fixture
def other_driver(base, tmp_path):
    """Start a driver with a cluster of its own; returns its process and the address."""
    started = []

    def start():
        program = textwrap.dedent(f"""
            import sys, nbray
            print(nbray.init(**{SMALL!r})["address"], flush=True)
            sys.stdin.readline()
        """)
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def daemon_of(address):
    import json

    return json.loads((Path(address) / OWNER_FILE).read_text())["pid"]


# -------------------------------------------------------------------------- addresses


def test_there_is_no_cluster(fresh, base):
    with pytest.raises(ConnectionError, match=r"Could not find any running nbray cluster.*nbray start"):
        fresh.init(address="auto")
    assert not fresh.is_initialized()
    fresh.init(**SMALL)
    assert fresh.get(fresh.put(1)) == 1


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("10.0.0.1:6379", ConnectionError, "names no cluster"),
        ("ray://head:10001", ConnectionError, "names no cluster"),
        ("nonsense", ValueError, "Invalid address format"),
        ("", ValueError, "names nothing"),
        ("session_20200101-000000_1_abcdef", ConnectionError, "no cluster there"),
        ("/no/such/folder", ConnectionError, "No such file"),
        ("/tmp", (ConnectionError, InsecureConfigurationError, PermissionError), "/tmp"),  # root's own, or another's
        (5, TypeError, "string"),
    ],
)
def test_addresses_that_lead_nowhere(fresh, base, address, error, words):
    start = time.monotonic()
    with pytest.raises(error, match=words):
        fresh.init(address=address)
    assert time.monotonic() - start < 30
    assert not fresh.is_initialized()


@pytest.mark.parametrize("variable", ["NBRAY_ADDRESS", "RAY_ADDRESS"])
@pytest.mark.parametrize("address", ["10.0.0.1:6379", "/no/such/folder", "auto"])
def test_an_address_from_the_environment_is_told_as_such(fresh, base, monkeypatch, variable, address):
    """Who had never given an address was told to leave it out."""
    monkeypatch.setenv(variable, address)
    with pytest.raises(ConnectionError) as caught:
        nbray.init()
    assert f"or unset {variable} to have init() start one" in str(caught.value)
    assert address == "auto" or f"address={address!r} (from the environment variable {variable})" in str(caught.value)


@pytest.mark.parametrize("variable", ["NBRAY_ADDRESS", "RAY_ADDRESS"])
def test_the_environment_names_a_cluster_that_is_not_there(fresh, base, monkeypatch, variable):
    monkeypatch.setenv(variable, "/no/such/cluster")
    with pytest.raises(ConnectionError, match="/no/such/cluster"):
        fresh.init()
    monkeypatch.setenv(variable, "local")
    assert fresh.init(**SMALL).address_info["joined"] is False


def test_the_environment_names_a_cluster(fresh, base, monkeypatch, other_driver):
    _, address = other_driver()
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert fresh.init().address_info["address"] == address
    fresh.shutdown()
    assert fresh.init(address="local", **SMALL).address_info["joined"] is False


@pytest.mark.parametrize(
    "settings",
    [{"num_cpus": 1}, {"num_gpus": 1}, {"resources": {"a": 1}}, {"labels": {"a": "b"}}, {"object_store_memory": 2**26},
     {"_system_config": {"extra_workers": 3}}, {"_node_name": "x"}, {"_memory": 2**26}],
    ids=lambda value: next(iter(value)),
)  # fmt: skip
def test_what_a_node_offers_is_settled_when_a_cluster_is_joined(fresh, base, other_driver, settings):
    _, address = other_driver()
    with pytest.raises(ValueError, match=r"existing cluster.*address='local' starts another one"):
        fresh.init(address=address, **settings)


def test_a_daemon_that_does_not_answer(fresh, base, other_driver):
    _, address = other_driver()
    pid = daemon_of(address)
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    try:
        with pytest.raises(ConnectionError, match=rf"Could not join.*(segment|registration).*{pid}"):
            fresh.init(address="auto")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - start < 30
    assert fresh.init(address="auto").address_info["address"] == address, "it answers again"


def test_a_dead_cluster(fresh, base, other_driver):
    process, address = other_driver()
    pid = daemon_of(address)
    os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    while process_control.start_time(pid):  # the kernel takes a while for a process of that size
        time.sleep(0.01)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=rf"is dead\. It was started 20.*pid {pid}.*seen last 20"):
        fresh.init(address=address)
    assert time.monotonic() - start < 30


def test_a_session_that_others_can_get_at(fresh, base, other_driver, tmp_path):
    _, address = other_driver()
    os.chmod(address, 0o755)
    with pytest.raises(InsecureConfigurationError, match=r"0755.*chmod 700"):
        fresh.init(address=address)
    os.chmod(address, 0o700)
    link = tmp_path / "link"
    link.symlink_to(address)
    with pytest.raises(InsecureConfigurationError, match="link"):
        fresh.init(address=str(link))


def test_a_session_of_somebody_else(fresh, base, other_driver):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    _, address = other_driver()
    os.chown(address, 65534, 65534)
    try:
        with pytest.raises(PermissionError, match=r"nobody|65534"):
            fresh.init(address=address)
    finally:
        os.chown(address, 0, 0)


def test_init_twice_names_the_cluster(fresh, base):
    address = fresh.init(**SMALL).address_info["address"]
    with pytest.raises(RuntimeError, match=address):
        fresh.init()
    assert fresh.init(ignore_reinit_error=True).address_info["address"] == address


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"_node_ip_address": "203.0.113.9"}, ValueError, r"127\.0\.0\.1"),
        ({"_metrics_export_port": 70000}, ValueError, "65535"),
        ({"_metrics_export_port": "80"}, TypeError, "int"),
        ({"_temp_dir": "relative"}, ValueError, "absolute"),
        ({"_system_config": {"extra_worker": 1}}, ValueError, "extra_workers"),
        ({"_system_config": 5}, TypeError, "dict"),
        ({"labels": {"a": 1}}, TypeError, "strings"),
        ({"labels": {"ray.io/x": "y"}}, ValueError, "ray.io"),
        ({"labels": {"a b": "c"}}, ValueError, "valid name"),
        ({"namespace": ""}, ValueError, "not a valid namespace"),
        ({"namespace": 5}, TypeError, "string"),
        ({"namespace": "nul\0"}, ValueError, "NUL"),
        ({"namespace": "n" * 10_000}, ValueError, "1000"),
        ({"job_config": {}}, TypeError, "JobConfig"),
        ({"logging_config": {}}, TypeError, "LoggingConfig"),
        ({"enable_resource_isolation": True}, ValueError, "cgroup"),
        ({"cgroup_path": "/x"}, ValueError, "not enabled"),
        ({"_plasma_directory": "/tmp"}, ValueError, "no folder"),
        ({"proxy_server_url": "http://x"}, ValueError, "no dashboard"),
        ({"_tracing_startup_hook": "a:b"}, ValueError, "tracing"),
        ({"allow_multiple": True}, RuntimeError, "client"),
        ({"storage": "/x"}, RuntimeError, "removed"),
        ({"local_mode": True}, RuntimeError, "no longer supported"),
        ({"num_cpu": 1}, RuntimeError, "num_cpus"),
        ({"_memory": "1 GB"}, ValueError, "bytes"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_keywords_that_are_refused(fresh, base, options, error, words):
    with pytest.raises(error, match=words):
        fresh.init(**{**SMALL, **options})
    assert not fresh.is_initialized()


@pytest.mark.parametrize(
    "make",
    [
        lambda: JobConfig(jvm_options=["-X"]),
        lambda: JobConfig(default_actor_lifetime="for ever"),
        lambda: nbray.LoggingConfig(encoding="XML"),
        lambda: nbray.LoggingConfig(additional_log_standard_attrs=["nothing"]),
    ],
)
def test_settings_that_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_odd_namespaces_are_names(fresh, base):
    for namespace in ("../../etc", "<b>bold</b>", "\N{SNOWMAN} 雪", "a b\nc"):
        fresh.init(**SMALL, namespace=namespace)
        assert fresh.get_runtime_context().namespace == namespace
        actor = fresh.remote(type("A", (), {"ok": lambda self: 1})).options(name=namespace).remote()
        assert fresh.get(fresh.get_actor(namespace).ok.remote()) == 1
        del actor
        fresh.shutdown()


def test_a_port_in_use(fresh, base):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"{port}.*pid {os.getpid()}.*port 0"):
            fresh.init(**SMALL, _metrics_export_port=port)


def test_too_few_files_may_be_open(fresh, base):
    program = textwrap.dedent("""
        import resource, nbray
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        try:
            nbray.init(num_cpus=2, object_store_memory=2**26)
        except nbray.exceptions.ResourceLimitError as error:
            print("refused", error)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "refused Only 40 files may be open (ulimit -n); at least 72" in done.stdout, done.stderr
    assert issubclass(ResourceLimitError, nbray.exceptions.RayError)


def test_a_soft_limit_of_files_is_raised_for_the_node(fresh, base):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        fresh.init(**SMALL)
        with open(f"/proc/{fresh.nodes()[0]['pid']}/limits") as file:
            (line,) = [line for line in file if line.startswith("Max open files")]
        assert int(line.split()[3]) == min(hard, 65536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ------------------------------------------------------------- refs of other clusters


def test_refs_of_a_cluster_that_is_gone(fresh, base):
    fresh.init(**SMALL)
    frozen = pickle.dumps(fresh.put([1, 2]))
    fresh.shutdown()
    fresh.init(**SMALL)
    start = time.monotonic()
    with pytest.raises(ObjectLostError, match=r"another cluster \([0-9a-f]{8}; this one is [0-9a-f]{8}\)") as caught:
        fresh.get(pickle.loads(frozen))
    assert isinstance(caught.value, (ForeignObjectError, ValueError))
    assert time.monotonic() - start < 30


# --------------------------------------------------------------- clusters that go away


def test_the_folder_of_the_session_is_removed(fresh, base, tmp_path):
    """A cleaner of temporary files: told within 10 s, with the reason."""
    address = fresh.init(**SMALL).address_info["address"]
    began = tmp_path / "began"

    @fresh.remote
    def sleep():
        began.touch()
        time.sleep(60)

    ref = sleep.remote()
    deadline = time.monotonic() + 60
    while not began.exists():  # then no process starts any more, which would put a log into the folder
        assert time.monotonic() < deadline
        time.sleep(0.005)
    subprocess.run(["rm", "-rf", address], check=True)
    start = time.monotonic()
    with pytest.raises(ClusterGoneError, match=r"session folder .* was removed") as caught:
        fresh.get(ref)
    assert time.monotonic() - start < 30
    assert isinstance(caught.value, ConnectionError)
    fresh.shutdown()
    fresh.init(**SMALL)
    assert fresh.get(fresh.put(1)) == 1


INTERRUPTED = """
import os, sys, threading, time, nbray
try:
    print("starting", flush=True)
    nbray.init(num_cpus=1, object_store_memory=2**26)
    print("ready", flush=True)
    time.sleep(0.05)
    nbray.shutdown()
    nbray.init(num_cpus=1, object_store_memory=2**26)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_while_a_cluster_starts_or_ends(base):
    """At any moment: KeyboardInterrupt in time, and nothing half-started is left."""
    random.seed(11)
    mark = f"NBRAY_TEST_INIT={os.getpid()}"
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "NBRAY_TEST_INIT": str(os.getpid())}, start_new_session=True,
        )  # fmt: skip
        with process:
            assert process.stdout.readline() == "starting\n"
            time.sleep(random.uniform(0, 0.6))
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            assert process.wait(timeout=60) == 0
            assert time.monotonic() - start < 30
            assert "interrupted" in process.stdout.read()
        deadline = time.monotonic() + 30
        while (left := _marked(mark)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not left, left
    assert not [path for path in base.glob("nbray-*/session_*") if (path / CONTROL_SOCKET).exists()]


def _marked(mark):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if mark.encode() in environ and state not in "ZX":
                found.append(int(name))
    return found


def test_row_79_who_is_root_is_told_so_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said = []
    monkeypatch.setattr(runtime._logger, "warning", lambda text, *args: said.append(text % args))
    runtime._warn_root()
    runtime._warn_root()
    (sentence,) = said
    assert "root" in sentence and "ordinary user" in sentence
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    runtime._warn_root()
    assert len(said) == 1
