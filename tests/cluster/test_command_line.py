"""The command `nbray`: clusters that no driver owns, and what there is to see on them."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import cluster_kit as kit
import pytest

from nbray.cli.main import main


class CommandLine:
    """Runs `nbray` with its sessions in a folder of its own."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="nbc", dir="/tmp")
        self.mark = os.path.basename(self.base)
        self.environ = {
            **os.environ, "TMPDIR": self.base, "XDG_RUNTIME_DIR": "", "PYTHONPATH": kit.ROOT, kit.MARK: self.mark,
        }  # fmt: skip
        for name in ("NBRAY_ADDRESS", "RAY_ADDRESS"):
            self.environ.pop(name, None)

    def __call__(self, *arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "nbray", *arguments], env=self.environ, capture_output=True, text=True, timeout=120, **options
        )  # fmt: skip

    def family(self):
        return kit.marked(self.mark)

    def sessions(self):
        return sorted(str(path) for path in Path(self.base).glob("nbray-*/session_*"))

    def kill(self):
        """SIGKILL all its processes; some of them die with another."""
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self):
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture
def command():
    command = CommandLine()
    yield command
    command.close()


@pytest.fixture(scope="module")
def running():
    """A cluster that `nbray start` began, for the tests that look at it; it is stopped at the end."""
    command = CommandLine()
    started = command(
        "start", "--head", "--num-cpus", "2", "--object-store-memory", str(64 * 2**20), "--labels", "zone=a"
    )
    assert started.returncode == 0, started.stderr
    yield command
    stopped = command("stop")
    assert stopped.returncode == 0, stopped.stderr
    kit.eventually(lambda: not command.family(), "the end of its processes", kit.RECOVERY_S)
    command.close()


@pytest.fixture
def nbray_command(running, monkeypatch, capsys):
    """Run a command in this process; returns its exit code and what it printed."""
    monkeypatch.setenv("TMPDIR", running.base)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")

    def run(*arguments):
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


BUSY = """
context = ray.init(namespace="there")
say("joined", context.address_info["joined"])

@ray.remote
class Holder:
    def __init__(self):
        self.kept = ray.put(bytes(2_000_000))
    def wait(self):
        print("the holder waits")
        time.sleep(120)
    def ready(self):
        return 1

@ray.remote
def spin_here():
    return sum(range(10**12))

holder = Holder.options(name="holder").remote()
ray.get(holder.ready.remote())
waiting = holder.wait.remote()
spinning = spin_here.remote()
crowd = [ray.remote(lambda x: x).options(name="crowd", num_cpus=2).remote(spinning)]
large = ray.put(bytes(5_000_000))
while True:
    states = {task.name: task.state for task in __import__("nbray.util.state").util.state.list_tasks()}
    if states.get("Holder.wait") == states.get("spin_here") == "RUNNING":
        break
say("ready", os.getpid())
hear()
"""


@pytest.fixture(scope="module")
def driver(running):
    driver = kit.Driver(BUSY, base=running.base)
    driver.expect("joined True")
    driver.expect("ready")
    yield driver
    driver.close()


# ------------------------------------------------------------------- starting and stopping


def test_start_and_stop_leave_nothing(command):
    started = command("start", "--head", "--num-cpus", "1", "--object-store-memory", str(64 * 2**20))
    assert started.returncode == 0, started.stderr
    assert "nbray runs: 1 CPU, 0 GPUs" in started.stdout
    assert command.family(), "it goes on after the command"
    (session,) = command.sessions()
    assert os.stat(session).st_mode & 0o777 == 0o700
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in Path(session).rglob("*"))
    again = command("start")
    assert again.returncode == 1
    assert "runs already" in again.stderr
    assert again.stderr.count("\n") == 1
    stopped = command("stop")
    assert (stopped.returncode, stopped.stdout.startswith("Stopped session_")) == (0, True), stopped
    kit.eventually(lambda: not command.family(), "the end of its processes", kit.RECOVERY_S)
    assert command.sessions() == []
    assert "No cluster" in command("stop").stdout


def test_what_start_says_about_a_folder_of_its_own_works(command):
    """`nbray stop` and `nbray status` alone did not find a cluster that was started with --temp-dir."""
    folder = os.path.join(command.base, "its own")
    os.mkdir(folder)
    started = command("start", "--temp-dir", folder, "--num-cpus", "1", "--object-store-memory", str(64 * 2**20))
    assert started.returncode == 0, started.stderr
    said = {
        line[2:12].strip(): line[13:].split("   ")[0] for line in started.stdout.splitlines() if line.startswith("  ")
    }
    program = f"import nbray\n{said['join it']}\nprint(nbray.cluster_resources()['CPU'])"
    joined = subprocess.run(
        [sys.executable, "-c", program], env=command.environ, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert (joined.returncode, joined.stdout) == (0, "1.0\n"), joined.stderr
    for what in ("look", "end it"):
        done = command(*shlex.split(said[what])[1:])
        assert done.returncode == 0, done.stderr
    kit.eventually(lambda: not command.family(), "the end of its processes", kit.RECOVERY_S)


def test_start_that_blocks_ends_with_a_signal(command):
    process = subprocess.Popen(
        [sys.executable, "-m", "nbray", "start", "--block", "--num-cpus", "1", "--object-store-memory", str(64 * 2**20)],
        env=command.environ, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        assert process.stdout.readline().startswith("nbray runs")
        process.send_signal(signal.SIGTERM)
        with kit.no_hang(what="the end of `nbray start --block`"):
            assert process.wait() == 0
    kit.eventually(lambda: not command.family(), "the end of its processes", kit.RECOVERY_S)


def test_a_daemon_that_was_killed_is_cleaned_up_after(command):
    """All processes killed by pid: the next command sees no cluster, the next start removes the folder."""
    assert command("start", "--num-cpus", "1", "--object-store-memory", str(64 * 2**20)).returncode == 0
    (session,) = command.sessions()
    command.kill()
    kit.eventually(lambda: not command.family(), "their end")
    shown = command("status")
    assert (shown.returncode, "Could not find any running" in shown.stderr) == (1, True)
    joined = command("status", "--address", session)
    assert (joined.returncode, "is dead" in joined.stderr) == (1, True)
    assert command("start", "--num-cpus", "1", "--object-store-memory", str(64 * 2**20)).returncode == 0
    (fresh,) = command.sessions()
    assert fresh != session
    assert command("stop", "--force").returncode == 0
    kit.eventually(lambda: not command.family(), "the end of its processes", kit.RECOVERY_S)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["start", "--resources", "gold=1"], "JSON"),
        (["start", "--num-cpus", "-1"], "num_cpus"),
        (["start", "--object-store-memory", "0"], "above 0"),
        (["start", "--node-ip-address", "203.0.113.7"], "127.0.0.1"),
        (["start", "--address", "10.0.0.1:6379"], "one node"),
        (["start", "--labels", "a"], "name=value"),
        (["start", "--system-config", '{"extra_worker": 1}'], "extra_workers"),
        (["list", "tasks", "--filter", "name"], "column=value"),
        (["list", "tasks", "--filter", "nam=x"], "not supported"),
        (["list", "tasks", "--limit", "-1"], "limit"),
        (["get", "tasks", "00"], "nbray list tasks"),
        (["get", "tasks", "abc"], "which has 48 hexadecimal digits. `nbray list tasks` shows them"),
        (["logs", "nothing.log"], "`nbray logs`"),
        (["logs", "--pid", "1"], "`nbray logs`"),
        (["status", "--address", "/no/such/folder"], "no cluster there"),
        (["logs", "../logs"], "no log"),
        (["logs", "run/owner.json"], "no log"),
        (["stack", "--pid", "1"], "pid 1"),
        (["job", "submit", "no_such_script.py"], "no script"),
        (["job", "submit"], "what to run"),
        (["job", "submit", "--runtime-env", "/no/such.yaml", "--", "true"], "/no/such.yaml"),
        (["job", "submit", "--entrypoint-num-cpus", "1", "--", "true"], "its tasks do"),
        (["scale", "0"], "1 or more"),
        (["logs", "worker-0.log", "more"], "one name"),
        (["debug", "--address", "nothing"], "Start one with `nbray start`.\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_one_line(nbray_command, arguments, words):
    code, said, error = nbray_command(*arguments)
    assert (code, said) == (1, "")
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["list"], ["list", "nonsense"], ["stop", "--grace-period", "x"]]
)
def test_a_command_that_is_not_understood(nbray_command, arguments):
    try:
        code, _, _ = nbray_command(*arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2


@pytest.mark.parametrize(
    ("arguments", "usage", "words"),
    [
        (
            ["start", "--num-cpu", "3"],
            "usage: nbray start",
            "unrecognized arguments: --num-cpu 3. Did you mean --num-cpus?",
        ),
        (["status", "--addres=x"], "usage: nbray status", "Did you mean --address?"),
        (["stauts"], "usage: nbray ", "there is no command 'stauts'. Did you mean status? `nbray --help` shows them."),
    ],
)
def test_a_mistyped_word_is_answered_with_the_right_one(nbray_command, capsys, arguments, usage, words):
    with pytest.raises(SystemExit):
        nbray_command(*arguments)
    error = capsys.readouterr().err
    assert error.startswith(usage) and words in error


# ------------------------------------------------------------------------------- looking


def test_status(nbray_command, driver):
    code, said, _ = nbray_command("status")
    assert code == 0
    assert "CPU            1 of 2 in use" in said
    assert str(driver.pid) in said
    facts = json.loads(nbray_command("status", "--format", "json")[1])
    assert facts["resources"]["CPU"] == {"used": 1.0, "total": 2.0}
    assert facts["actors_alive"] == 1
    assert facts["object_store"]["used"] >= 7_000_000


def test_what_placement_groups_hold(nbray_command, driver):
    program = """if True:
        import subprocess, sys
        import nbray
        nbray.init(sys.argv[1], log_to_driver=False)
        group = nbray.util.placement_group([{"CPU": 0.5}] * 2)
        assert group.wait(60)
        subprocess.run([sys.executable, "-m", "nbray", "status"], check=True)
    """
    address = json.loads(nbray_command("status", "--format", "json")[1])["session"]
    found = subprocess.run(
        [sys.executable, "-c", program, address], capture_output=True, text=True, timeout=120, check=True, cwd=kit.ROOT
    )
    assert "CPU            2 of 2 in use (0 used of 1 reserved in placement groups)\n" in found.stdout
    assert "_group_" not in found.stdout


def test_lists(nbray_command, driver):
    code, said, _ = nbray_command("list", "tasks")
    assert code == 0
    lines = {line.split()[1]: line for line in said.splitlines()[1:]}
    assert "RUNNING" in lines["spin_here"]
    assert "FINISHED" in lines["Holder.ready"]
    assert "PENDING_ARGS_AVAIL" in lines["crowd"]
    (actor,) = json.loads(nbray_command("list", "actors", "--format", "json", "--detail", "-f", "state=alive")[1])
    assert (actor["name"], actor["ray_namespace"], actor["is_detached"]) == ("holder", "there", False)
    for resource in ("nodes", "workers", "jobs", "objects", "placement-groups", "runtime-envs", "cluster-events"):
        assert nbray_command("list", resource)[0] == 0
    (node,) = json.loads(nbray_command("list", "nodes", "--format", "json")[1])
    assert node["labels"]["zone"] == "a"
    shown = json.loads(nbray_command("get", "actors", actor["actor_id"], "--format", "json")[1])
    assert shown["class_name"] == "Holder"
    assert "spin_here" in nbray_command("summary", "tasks")[1]
    assert nbray_command("summary", "actors")[0] == nbray_command("summary", "objects")[0] == 0


def test_scale(nbray_command, driver):
    try:
        code, said, _ = nbray_command("scale", "3")
        assert (code, "offers 3 CPUs now" in said) == (0, True)
        assert json.loads(nbray_command("status", "--format", "json")[1])["resources"]["CPU"]["total"] == 3
    finally:
        assert "2 CPUs" in nbray_command("scale", "2")[1]


def test_memory_names_the_holders(nbray_command, driver):
    said = ""

    def named(size, holder):
        return any(size in line and holder in line for line in said.splitlines())

    def both_are_named():  # one that gets no processor for 2 s has not answered
        nonlocal said
        code, said, _ = nbray_command("memory")
        assert code == 0
        assert said.startswith("object store: ")
        assert "no answer from" in said, "the worker that never gives the interpreter back"
        return named("4.8 MiB", f"driver {driver.pid}") and named("1.9 MiB", "worker")

    kit.eventually(both_are_named, "the holders of both values are named")


def test_stack_of_a_process_that_is_busy_in_c(nbray_command, driver):
    code, said, _ = nbray_command("stack")
    assert code == 0
    assert "in spin_here" in said, "a function that never gives the interpreter back"
    assert "in wait" in said
    assert f"driver pid={driver.pid}" in said
    assert "in hear" in said


def test_logs_and_timeline(nbray_command, driver, tmp_path):
    code, said, _ = nbray_command("logs")
    assert code == 0
    assert "daemon.log" in said
    assert not {"run", "other"} & set(said.split()), "a folder is no log"
    (actor,) = json.loads(nbray_command("list", "actors", "--format", "json")[1])
    kit.eventually(
        lambda: "the holder waits" in nbray_command("logs", "--actor-id", actor["actor_id"])[1], "what it prints first"
    )
    assert "the holder waits" in nbray_command("logs", "--pid", str(actor["pid"]), "--tail", "1")[1]
    path = tmp_path / "trace.json"
    assert nbray_command("timeline", "-o", str(path))[0] == 0
    assert any(event["name"] == "Holder.ready" for event in json.loads(path.read_text()))


def test_options_of_rays_commands(nbray_command, driver):
    (actor,) = json.loads(nbray_command("list", "actors", "--format", "json", "--timeout", "30")[1])
    kit.eventually(
        lambda: "the holder waits" in nbray_command("logs", "actor", "--id", actor["actor_id"], "--tail", "-1")[1],
        "the words of an actor",
    )
    assert "the holder waits" in nbray_command("logs", "worker", "--pid", str(actor["pid"]), "--tail", "-1")[1]
    for listed in (("cluster", "daemon*"), ("daemon*",)):
        code, said, _ = nbray_command("logs", *listed)
        assert (code, said.split()) == (0, ["daemon", "daemon.log"])
    assert nbray_command("summary", "actors", "--timeout", "30")[0] == 0
    code, said, _ = nbray_command(
        "memory", "--stats-only", "--sort-by", "OBJECT_SIZE", "--units", "MB", "--num-entries", "3"
    )
    assert (code, said.count("\n")) == (0, 1) and said.startswith("object store: ")
    assert nbray_command("status", "-v")[1].startswith(nbray_command("status")[1][:200])


def test_options_of_rays_servers_are_taken(command):
    options = ["--port=6379", "--dashboard-host", "0.0.0.0", "--include-dashboard=False", "--disable-usage-stats", "-v"]
    started = command("start", "--head", "--num-cpus", "1", "--object-store-memory", str(64 * 2**20), *options)
    assert started.returncode == 0, started.stderr
    assert command("stop", "-v").returncode == 0


def test_doctor(nbray_command):
    code, said, _ = nbray_command("doctor")
    assert code == 0, said
    assert "started by nbray start" in said
    levels = {row["what"]: row["level"] for row in json.loads(nbray_command("doctor", "--format", "json")[1])}
    assert levels["memfd"] == levels["Python"] == "ok"


def test_a_submitted_job(running, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "import nbray as ray\n"
        "ray.init()\n"
        "print(ray.get(ray.remote(lambda: 'from a task').remote()), sys.argv[1:])\n"
        "print(ray.get_runtime_context().get_job_id(), file=sys.stderr)\n"
        "sys.exit(5)\n"
    )
    done = running(
        "job", "submit", "--submission-id", "mine", "--metadata-json", '{"team": "red"}', str(script), "--x", "1"
    )
    assert done.returncode == 5, done.stderr
    assert "from a task ['--x', '1']" in done.stdout
    jobs = json.loads(running("list", "jobs", "--format", "json", "-f", "submission_id=mine").stdout)
    assert [(job["metadata"]["team"], job["type"]) for job in jobs] == [("red", "SUBMISSION")]
    begun = running("job", "submit", "--no-wait", "--submission-id", "later", str(script))
    assert begun.stdout == "later\n", begun.stderr
    followed = running("job", "logs", "later", "--follow")
    assert "from a task []" in followed.stdout
    assert "FAILED" in running("job", "list").stdout
    assert "exit code 5" in running("job", "status", "later").stdout
    assert "was over" in running("job", "stop", "later").stdout
    assert running("job", "delete", "later").returncode == 0
    assert running("job", "status", "later").stderr == "nbray job: Job later does not exist.\n"
    killed = running("job", "submit", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert killed.returncode == 137


def test_a_job_that_was_waited_for_is_known_afterwards(running, tmp_path):
    environment = tmp_path / "environment.yaml"
    environment.write_text("env_vars: {COLOUR: blue}\n")
    done = running(
        "job", "submit", "--submission-id", "waited", "--runtime-env", str(environment), "--working-dir", str(tmp_path),
        "--verify", "false", "--", "sh", "-c", "echo $COLOUR; pwd"
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"blue\n{tmp_path}\n"), done.stderr
    assert "SUCCEEDED" in running("job", "status", "waited").stdout
    assert running("job", "logs", "waited").stdout == done.stdout
    assert "already exists" in running("job", "submit", "--submission-id", "waited", "--", "true").stderr
    generated = running("job", "submit", "--", "sh", "-c", "exit 7")
    assert generated.returncode == 7
    listed = {job["submission_id"] for job in json.loads(running("job", "list", "--format", "json").stdout)}
    other = generated.stderr.split()[2]
    assert {"waited", other} <= listed
    assert "exit code 7" in running("job", "status", other).stdout


def test_looking_on_at_a_job_may_end_before_it(running):
    looking = subprocess.Popen(
        [sys.executable, "-m", "nbray", "job", "submit", "--submission-id", "long", "--", "sh", "-c", "echo begun; sleep 600"],
        env=running.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert looking.stdout.readline() == "begun\n"
    looking.send_signal(signal.SIGINT)
    assert "long goes on" in looking.communicate(timeout=60)[1]
    assert looking.returncode == 130
    assert "RUNNING" in running("job", "status", "long").stdout
    assert running("job", "stop", "long").stdout == "long was stopped.\n"
    assert "STOPPED" in running("job", "status", "long").stdout
