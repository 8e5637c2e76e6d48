"""Rows 6, 7, 8, 22 and 46, 51: calls made in the wrong way or at the wrong time."""

import time

import numpy as np
import pytest

import nbray


def test_row_6_a_direct_call(ray):
    @ray.remote
    def train(x):
        return x

    @ray.remote
    class Trainer:
        def step(self):
            return 1

    with pytest.raises(TypeError, match=r"train\.remote\("):
        train(1)
    with pytest.raises(TypeError, match=r"Trainer\.remote\("):
        Trainer()
    with pytest.raises(TypeError, match=r"Trainer\.remote\("):
        Trainer.options(num_cpus=1)()
    trainer = Trainer.remote()
    with pytest.raises(TypeError, match=r"step\.remote\("):
        trainer.step()
    assert ray.get(trainer.step.remote()) == 1


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"c": 1}), ((1,), {"a": 1})], ids=str)
def test_row_7_wrong_arguments(ray, args, kwargs):
    @ray.remote
    def train(a, b=1):
        return a

    @ray.remote
    class Trainer:
        def __init__(self, a, b=1):
            pass

        def step(self, a, b=1):
            return a

    with pytest.raises(TypeError, match=r"train\(a, b=1\)"):
        train.remote(*args, **kwargs)
    with pytest.raises(TypeError, match=r"\(a, b=1\)"):
        Trainer.remote(*args, **kwargs)
    trainer = Trainer.remote(1)
    with pytest.raises(TypeError, match=r"step\(a, b=1\)"):
        trainer.step.remote(*args, **kwargs)
    assert ray.get(trainer.step.remote(5)) == 5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda ref: 5, ["int"]),
        (lambda ref: None, ["NoneType"]),
        (lambda ref: [ref, "x"], ["1", "str"]),
        (lambda ref: [ref, ref, [ref]], ["2", "list"]),
        (lambda ref: [[ref]], ["0", "list"]),
        (lambda ref: (r for r in [ref]), ["generator"]),
        (lambda ref: {"a": ref}, ["dict"]),
    ],
    ids=["int", "None", "str in list", "list in list", "list of lists", "generator", "dict"],
)
def test_row_8_get_of_other_things(ray, wrong, words):
    """Ray raises ValueError for what is no list and TypeError for what is in it; the table asks for TypeError always."""
    with pytest.raises(TypeError) as caught:
        ray.get(wrong(ray.put(1)))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("timeout", "error"), [(float("nan"), ValueError), (-0.5, ValueError), ("1", TypeError), ([], TypeError)]
)
def test_timeouts_that_mean_nothing(ray, timeout, error):
    ref = ray.ObjectRef.nil()
    with pytest.raises(error, match="timeout"):
        ray.get([ref], timeout=timeout)
    with pytest.raises(error, match="timeout"):
        ray.wait([ref], timeout=timeout)


@pytest.mark.parametrize("timeout", [float("nan"), "1", []])
def test_timeouts_that_mean_nothing_where_nobody_has_to_wait(ray, timeout):
    ref = ray.put(1)
    for refs in (ref, [ref]):
        with pytest.raises((TypeError, ValueError), match="timeout"):
            ray.get(refs, timeout=timeout)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**400, True, np.float32(60)])
def test_timeouts_that_are_odd(ray, timeout):
    @ray.remote
    def seven():
        return 7

    assert ray.get(seven.remote(), timeout=60 if timeout is True else timeout) == 7
    assert ray.wait([ray.put(1)], timeout=timeout)[1] == []


@pytest.mark.parametrize("filename", [3, True, ["trace"]])
def test_a_timeline_is_written_to_a_path(ray, filename):
    with pytest.raises(TypeError, match="path"):
        ray.timeline(filename)


def test_row_22_a_missing_method(ray):
    @ray.remote
    class Counter:
        def increment(self):
            return 1

    counter = Counter.remote()
    with pytest.raises(AttributeError) as caught:
        counter.incremnt.remote()
    assert "incremnt" in str(caught.value)
    assert "increment" in str(caught.value).replace("incremnt", "")
    with pytest.raises(AttributeError, match="something_else"):
        counter.something_else.remote()
    assert ray.get(counter.increment.remote()) == 1


def test_row_46_init_twice(ray):
    with pytest.raises(RuntimeError) as caught:
        ray.init(num_cpus=1)
    assert "ignore_reinit_error" in str(caught.value)
    with pytest.raises(RuntimeError) as again:
        ray.init(num_cpus=1)
    assert str(again.value) == str(caught.value), "the message names the cluster there is"
    ray.init(num_cpus=1, ignore_reinit_error=True)
    assert ray.cluster_resources()["CPU"] == 2.0


def test_row_46_the_message_names_the_cluster(run_script):
    """Two clusters, one after the other, have different addresses in the message."""
    run_script(
        """
        messages = []
        for _ in range(2):
            ray.init(num_cpus=1)
            try:
                ray.init(num_cpus=1)
            except RuntimeError as error:
                messages.append(str(error))
            ray.shutdown()
        assert len(messages) == 2
        assert messages[0] != messages[1], messages[0]
        """
    )


def test_row_51_before_init(run_script):
    """What needs a cluster says so; what can start one does, as in Ray."""
    run_script(
        """
        for name in ("nodes", "cluster_resources", "available_resources"):
            try:
                getattr(ray, name)()
            except (RuntimeError, ray.exceptions.RaySystemError) as error:
                assert "init" in str(error), error
            else:
                raise AssertionError(name)
        assert not ray.is_initialized()
        ray.put(1)
        assert ray.is_initialized()
        """
    )


def test_row_51_after_shutdown(run_script):
    """Refs and handles of a cluster that is gone: an error, at once, here and in the next cluster."""
    done = run_script(
        """
        import time

        @ray.remote
        def f(*inputs):
            return 1

        @ray.remote
        class A:
            def m(self):
                return 1

        @ray.remote
        def large():
            import numpy as np
            return np.ones(1000000)

        def all_refuse():
            uses = [lambda: ray.get(ref), lambda: ray.get([ref]), lambda: ray.get(put), lambda: ray.get([far]),
                    lambda: ray.get(far), lambda: actor.m.remote(), lambda: f.remote(ref), lambda: ray.wait([ref]),
                    lambda: ref.future(), lambda: ref._on_completed(print)]
            for number, use in enumerate(uses):
                start = time.monotonic()
                try:
                    use()
                except (ray.exceptions.RayError, ValueError) as error:
                    assert "cluster" in str(error), error
                else:
                    raise AssertionError(number)
                assert time.monotonic() - start < 30, number

        ray.init(num_cpus=1)
        ref, put, far, actor = f.remote(), ray.put([1]), large.remote(), A.remote()
        ray.wait([far])
        assert ray.get([ref, actor.m.remote()]) == [1, 1]
        ray.shutdown()
        all_refuse()
        ray.shutdown()
        ray.init(num_cpus=1)
        all_refuse()
        assert ray.get(f.remote()) == 1
        """
    )
    assert "Traceback" not in done.stderr


def test_row_51_the_message_after_shutdown(run_script):
    run_script(
        """
        ray.init(num_cpus=1)
        ray.shutdown()
        try:
            ray.nodes()
        except (RuntimeError, ray.exceptions.RaySystemError) as error:
            assert "init" in str(error)
        else:
            raise AssertionError
        """
    )


def test_calls_on_nothing_take_no_time(ray):
    start = time.monotonic()
    assert ray.get([]) == []
    assert ray.wait([]) == ([], [])
    assert time.monotonic() - start < 30
    assert nbray.is_initialized()
