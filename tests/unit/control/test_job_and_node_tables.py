"""Jobs and nodes."""

import pytest

from nbray.control.job_table import FAILED, FINISHED, MAX_ENDED, RUNNING, JobTable
from nbray.control.node_table import NodeRecord, NodeTable


def test_a_driver_has_one_job():
    jobs = JobTable()
    job = jobs.start(5, 100, "ns", 1.0)
    assert jobs.start(5, 100, "ns", 2.0) is job and job.state == RUNNING
    assert jobs.start(6, 101, "ns", 2.0).job_id == job.job_id + 1
    jobs.validate()
    assert jobs.end(5, 3.0, FAILED).state == FAILED
    assert jobs.end(5, 4.0) is None
    assert [other.driver for other in jobs.running()] == [6]
    with pytest.raises(ValueError):
        jobs.end(6, 1.0, "GONE")
    jobs.validate()


def test_ended_jobs_are_bounded():
    jobs = JobTable()
    for driver in range(MAX_ENDED + 10):
        jobs.start(driver, driver, "", 0.0)
        assert jobs.end(driver, 1.0).state == FINISHED
    assert len(jobs.jobs) == MAX_ENDED
    first, last = 1, MAX_ENDED + 10
    assert jobs.has_ended(first) and jobs.has_ended(last) and not jobs.has_ended(0) and not jobs.has_ended(last + 1)
    assert not jobs.has_ended(jobs.start(0, 0, "", 0.0).job_id)
    jobs.validate()


def test_nodes_add_up_and_do_not_come_back():
    nodes = NodeTable()
    nodes.add(NodeRecord("a", 1, "h", {"CPU": 20000}, 0.0))
    nodes.add(NodeRecord("b", 2, "h", {"CPU": 10000, "GPU": 10000}, 0.0))
    assert nodes.totals() == {"CPU": 30000, "GPU": 10000}
    nodes.remove("b")
    assert nodes.totals() == {"CPU": 20000}
    with pytest.raises(ValueError):
        nodes.add(NodeRecord("b", 3, "h", {}, 0.0))
    rows = nodes.describe({"a": {"CPU": 5000}})
    assert rows[0]["Available"] == {"CPU": 0.5} and not rows[1]["Alive"]
    nodes.validate()
