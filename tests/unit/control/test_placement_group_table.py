"""The table of placement groups: every state and event, two steps over several nodes, names, ends."""

import pytest

from nbray.control import placement_group_table as gt
from nbray.resources import CPU, UNITS
from nbray.scheduling.cluster_view import ClusterView
from nbray.wire.messages import CreateGroupRequest, GroupNotice

OWNER = 7


def table_of(*cpus):
    view = ClusterView()
    for index, count in enumerate(cpus):
        view.update(f"n{index}", {CPU: count * UNITS}, {CPU: count * UNITS})
    return gt.PlacementGroupTable(view)


def request(*cpus, group_id="g1", **fields):
    return CreateGroupRequest(group_id=group_id, bundles=[{CPU: n * UNITS} for n in cpus or (1,)], **fields)


def of(effects, cls):
    return [effect for effect in effects if isinstance(effect, cls)]


def states(effects):
    return [effect.notice.state for effect in of(effects, gt.Notify)]


def make(state, nodes=(4,), **fields):
    table = table_of(*nodes)
    table.create(request(**fields), OWNER, 1.0)
    if state == gt.PENDING:
        return table
    table.prepared("g1", "n0", 2.0)
    if state == gt.RESCHEDULING:
        table.cluster.remove("n0")
        table.cluster.update("n9", {CPU: 9 * UNITS}, {CPU: 9 * UNITS})
        table.node_died("n0", 3.0)
        table.tick(9.0)
    if state == gt.REMOVED:
        table.remove("g1")
    table.validate()
    return table


@pytest.mark.parametrize("state", [gt.PENDING, gt.CREATED, gt.RESCHEDULING, gt.REMOVED])
@pytest.mark.parametrize("event", gt.GROUP_EVENTS)
def test_every_pair(state, event):
    table = make(state)
    group = table.groups["g1"]
    assert group.state == state
    node = next(iter(group.nodes.values()))
    effects = {
        "prepared": lambda: table.prepared("g1", node, 10.0),
        "refused": lambda: table.refused("g1", node, 10.0),
        "node_died": lambda: table.node_died(node, 10.0),
        "remove": lambda: table.remove("g1"),
    }[event]()
    allowed = gt.GROUP_TRANSITIONS.get((state, event))
    assert group.state in (allowed or (state,))
    if state == gt.REMOVED:
        assert not states(effects)
    table.validate()


def test_one_node_is_asked_to_keep_the_request():
    table = table_of(4)
    (prepare,) = of(table.create(request(1, 2), OWNER, 1.0), gt.Prepare)
    assert prepare == gt.Prepare("n0", "g1", {0: {CPU: UNITS}, 1: {CPU: 2 * UNITS}}, wait=True)
    effects = table.prepared("g1", "n0", 1.5)
    assert of(effects, gt.Commit) == [gt.Commit("n0", "g1")]
    assert states(effects) == [gt.CREATED]
    assert table.nodes_of("g1", 1) == ["n0"]
    assert table.nodes_of("g1", 2) == []


def test_several_nodes_commit_when_all_have_prepared():
    table = table_of(2, 2)
    prepares = of(table.create(request(2, 2), OWNER, 1.0), gt.Prepare)
    assert [(one.node_id, one.wait) for one in prepares] == [("n0", False), ("n1", False)]
    assert table.prepared("g1", "n0", 1.1) == []
    effects = table.prepared("g1", "n1", 1.2)
    assert [one.node_id for one in of(effects, gt.Commit)] == ["n0", "n1"]
    assert table.groups["g1"].state == gt.CREATED


def test_when_one_node_refuses_the_others_give_back_and_it_is_tried_again():
    table = table_of(2, 2)
    table.create(request(2, 2), OWNER, 1.0)
    table.prepared("g1", "n0", 1.1)
    effects = table.refused("g1", "n1", 1.2)
    assert [(one.node_id, one.removed) for one in of(effects, gt.GiveBack)] == [("n0", False), ("n1", False)]
    due = table.next_wakeup()
    assert due is not None and due > 1.2
    assert table.tick(due - 0.001) == []
    assert len(of(table.tick(due), gt.Prepare)) == 2
    assert table.next_wakeup() is None


def test_an_answer_that_comes_too_late_is_given_back():
    table = make(gt.REMOVED)
    assert table.prepared("g1", "n0", 9.0) == [gt.GiveBack("n0", "g1", removed=False)]


def test_a_group_that_no_node_can_have_is_refused_unless_it_is_to_wait():
    table = table_of(2)
    (notify,) = table.create(request(1, 3), OWNER, 1.0)
    assert "Bundle 1" in notify.notice.infeasible and notify.notice.state == gt.REMOVED
    assert "g1" not in table.groups
    table.create(request(1, 3, wait_for_resources=True), OWNER, 1.0)
    assert table.describe("g1")[0]["scheduling_state"] == "INFEASIBLE"
    table.cluster.update("n1", {CPU: 3 * UNITS}, {CPU: 3 * UNITS})
    assert len(of(table.tick(table.next_wakeup()), gt.Prepare)) == 2
    table.validate()


def test_the_death_of_a_node_moves_the_whole_group():
    table = make(gt.CREATED, nodes=(4,))
    table.cluster.remove("n0")
    effects = table.node_died("n0", 5.0)
    assert states(effects) == [gt.RESCHEDULING]
    table.cluster.update("n1", {CPU: 4 * UNITS}, {CPU: 4 * UNITS})
    (prepare,) = of(table.tick(6.0), gt.Prepare)
    assert prepare.node_id == "n1"
    assert states(table.prepared("g1", "n1", 6.5)) == [gt.CREATED]


def test_names():
    table = table_of(8)
    assert states(table.create(request(name="n", namespace="s"), OWNER, 1.0)) == [gt.PENDING]
    taken = table.create(request(group_id="g2", name="n", namespace="s"), 8, 1.0)
    assert taken == [gt.Notify((8,), GroupNotice(group_id="g2", state=gt.REMOVED, name_taken=True))]
    table.create(request(group_id="g3", name="n", namespace="t"), 8, 1.0)
    assert table.namespaces_of("n") == ["s", "t"]
    assert table.find_named("n", "s").request.group_id == "g1"
    table.remove("g1")
    assert table.find_named("n", "s") is None
    table.validate()


def test_it_ends_with_its_job():
    table = table_of(8)
    table.create(request(job_id=1), OWNER, 1.0)
    table.create(request(job_id=1, detached=True, group_id="g2"), OWNER, 1.0)
    table.job_ended(2)
    assert not table.is_gone("g1")
    table.job_ended(1)
    assert table.is_gone("g1")
    assert not table.is_gone("g2")


@pytest.mark.parametrize("first", ["job", "actor"])
def test_it_ends_when_its_job_and_the_actor_that_made_it_are_gone(first):
    table = table_of(8)
    table.create(request(job_id=1, actor_id="a"), OWNER, 1.0)
    ends = [lambda: table.job_ended(1), lambda: table.actor_died("a")]
    if first == "actor":
        ends.reverse()
    ends[0]()
    table.actor_died("b")
    assert not table.is_gone("g1")
    ends[1]()
    assert table.is_gone("g1")


def test_one_that_a_detached_actor_makes_after_its_job_ends_with_the_actor():
    table = table_of(8)
    table.create(request(job_id=1, actor_id="a"), OWNER, 1.0, job_ended=True)
    table.create(request(job_id=1, actor_id="a", detached=True, group_id="g2"), OWNER, 1.0, job_ended=True)
    assert not table.is_gone("g1")
    table.actor_died("a")
    assert table.is_gone("g1") and not table.is_gone("g2")
    late = table.create(request(job_id=1, actor_id="a", group_id="g3"), OWNER, 1.0, job_ended=True, actor_ended=True)
    assert late == [gt.Notify((OWNER,), GroupNotice(group_id="g3", state=gt.REMOVED))]
    table.validate()


def test_watchers():
    table = make(gt.PENDING)
    assert states(table.watch("g1", 9)) == [gt.PENDING]
    (notify,) = of(table.prepared("g1", "n0", 2.0), gt.Notify)
    assert notify.peers == (OWNER, 9)
    table.process_died(9)
    (notify,) = of(table.remove("g1"), gt.Notify)
    assert notify.peers == (OWNER,)
    assert states(table.watch("unknown", 9)) == [gt.REMOVED]


def test_the_remover_is_not_told():
    table = make(gt.PENDING)
    table.watch("g1", 9)
    (notify,) = of(table.remove("g1", OWNER), gt.Notify)
    assert notify.peers == (9,)
    assert table.is_gone("g1")


def test_removed_groups_are_forgotten_at_the_limit():
    table = table_of(8)
    table.limits = type(table.limits)({"removed_groups": 3})
    for number in range(10):
        table.create(request(group_id=f"g{number}"), OWNER, 1.0)
        table.remove(f"g{number}")
    assert len(table.groups) == 3
    table.validate()


@pytest.mark.parametrize("fields", [{"strategy": "NEAR"}, {"bundles": []}, {"selectors": [(), ()]}], ids=str)
def test_requests_of_another_form_are_refused(fields):
    table = table_of(8)
    with pytest.raises(ValueError):
        table.create(CreateGroupRequest(**{"group_id": "g", "bundles": [{CPU: 1}], **fields}), OWNER, 1.0)
