"""Jobs that run on their own."""

import asyncio
import os
import sys

import cluster_kit as kit
import pytest

from nbray.job_submission import JobErrorType, JobStatus, JobSubmissionClient, log_path
from nbray.util.state import list_jobs

PYTHON = sys.executable


@pytest.fixture
def client(ray):
    return JobSubmissionClient(ray.get_runtime_context().gcs_address)


def over(client, job_id):
    kit.eventually(lambda: client.get_job_status(job_id).is_terminal(), f"the end of {job_id}")
    return client.get_job_info(job_id)


def test_a_job_that_succeeds(client, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, nbray as ray\n"
        "ray.init()\n"
        "print('from', ray.get(ray.remote(lambda: os.environ.get('COLOUR')).remote()), os.getcwd())\n"
    )
    job_id = client.submit_job(
        entrypoint=f"{PYTHON} script.py && echo after", metadata={"team": "red"}, submission_id="first",
        runtime_env={"working_dir": str(tmp_path), "env_vars": {"COLOUR": "blue", "PYTHONPATH": kit.ROOT}},
    )  # fmt: skip
    assert job_id == "first"
    info = over(client, job_id)
    assert (info.status, info.driver_exit_code) == (JobStatus.SUCCEEDED, 0), client.get_job_logs(job_id)
    assert str(tmp_path) in client.get_job_logs(job_id)
    assert client.get_job_logs(job_id).endswith("after\n")
    assert [job.submission_id for job in client.list_jobs()] == ["first"]
    (row,) = [row for row in list_jobs(detail=True) if row.submission_id == "first"]
    assert (row.type, row.metadata["team"]) == ("SUBMISSION", "red")
    assert row.runtime_env == info.runtime_env
    with pytest.raises(ValueError, match="already exists"):
        client.submit_job(entrypoint="true", submission_id="first")

    async def tail():
        return "".join([text async for text in client.tail_job_logs(job_id)])

    assert asyncio.run(tail()) == client.get_job_logs(job_id)
    assert client.delete_job(job_id)
    assert client.list_jobs() == []


@pytest.mark.parametrize(("command", "words"), [("exit 3", "exit code 3"), ("kill -9 $$", "SIGKILL")])
def test_a_job_that_fails(client, command, words):
    info = over(client, client.submit_job(entrypoint=command))
    assert (info.status, info.error_type) == (JobStatus.FAILED, JobErrorType.JOB_ENTRYPOINT_COMMAND_ERROR)
    assert words in info.message


def test_a_job_that_is_stopped(client):
    job_id = client.submit_job(entrypoint="sleep 100 & echo $!; wait")
    pid = int(kit.eventually(lambda: client.get_job_logs(job_id).split()[:1], "its first line")[0])
    kit.eventually(lambda: client.get_job_status(job_id) == JobStatus.RUNNING, "who started it says so")
    with pytest.raises(RuntimeError, match="stop it first"):
        client.delete_job(job_id)
    assert client.stop_job(job_id)
    assert over(client, job_id).status == JobStatus.STOPPED
    assert not client.stop_job(job_id)
    kit.eventually(lambda: not kit.start_time(pid), "the end of what it started")


def test_mistakes(client):
    before = client.list_jobs()
    with pytest.raises(RuntimeError, match="does not exist"):
        client.get_job_status("nonsense")
    with pytest.raises(RuntimeError, match="does not exist"):
        client.get_job_logs("../daemon")
    for entrypoint, options, error in (
        ("", {}, TypeError), (5, {}, TypeError), ("true", {"submission_id": "a/b"}, ValueError),
        ("true", {"entrypoint_num_cpus": 1}, ValueError), ("true", {"metadata": {"a": 1}}, TypeError), ("true", {"x": 1}, TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            client.submit_job(entrypoint=entrypoint, **options)
    with pytest.raises(ConnectionError):
        JobSubmissionClient("http://head.example:8265")
    assert client.list_jobs() == before


def test_a_job_ends_with_the_cluster(start_driver):
    owner = start_driver(
        "from nbray.job_submission import JobSubmissionClient\n"
        "address = ray.init(num_cpus=1, object_store_memory=64 * 2**20)['address']\n"
        "JobSubmissionClient(address).submit_job(entrypoint='echo $$; sleep 100', submission_id='one')\n"
        "say('address', address)\n"
        "hear()\n"
    )
    log = log_path(owner.expect("address"), "one")
    pid = int(kit.eventually(lambda: os.path.exists(log) and open(log).read().split()[:1], "its first line")[0])
    owner.kill()
    kit.eventually(lambda: not kit.start_time(pid), "its end")
    kit.eventually(lambda: not owner.family(), "the end of the supervisor", kit.RECOVERY_S)
