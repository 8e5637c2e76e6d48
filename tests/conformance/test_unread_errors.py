"""What the driver is told of failures that nobody asks for: on its standard error, as they happen."""

UNREAD = "Unhandled error (suppress with 'RAY_IGNORE_UNHANDLED_ERRORS=1')"


def run(start_script, text, *awaited):
    """Run a program until it has printed all that is awaited; returns what it has printed."""
    process = start_script(text, {"PYTHONUNBUFFERED": "1"})
    seen = ""
    for line in process.stdout:
        seen += line
        if all(text in seen for text in awaited):
            break
    return seen


def test_errors_that_nobody_reads(start_script):
    seen = run(
        start_script,
        """
        import sys
        ray.init(num_cpus=2)

        @ray.remote(max_retries=0)
        def fails(text):
            raise ValueError(text)

        @ray.remote
        class Actor:
            def fails(self, text):
                raise KeyError(text)

        actor = Actor.remote()
        try:
            ray.get(fails.remote("this one is read"))
        except ValueError:
            pass
        fails.remote("of a task")
        actor.fails.remote("of an actor")
        sys.stdin.read()
        """,
        "KeyError: 'of an actor'",
        "ValueError: of a task",
    )
    assert seen.count(UNREAD) == 2
    assert "this one is read" not in seen


def test_a_task_that_runs_again(start_script):
    seen = run(
        start_script,
        """
        import sys
        ray.init(num_cpus=1)

        @ray.remote(max_retries=3, retry_exceptions=True)
        def fails():
            raise ValueError("not yet")

        ref = fails.remote()
        sys.stdin.read()
        """,
        "ValueError: not yet",
    )
    assert "Task fails failed. There are 3 retries remaining, so the task will be retried." in seen


def test_a_constructor_that_raises(start_script):
    run(
        start_script,
        """
        import sys
        ray.init(num_cpus=1)

        @ray.remote
        class Actor:
            def __init__(self):
                raise KeyError("no such key")

        actor = Actor.remote()
        sys.stdin.read()
        """,
        "KeyError: 'no such key'",
    )


def test_a_program_that_fails_says_only_why(run_script):
    """Not that errors which nobody has read could not be told when the interpreter was half gone."""
    ended = run_script(
        """
        import time
        ray.init(num_cpus=1, log_to_driver=False)

        @ray.remote
        class Actor:
            def slow(self, x=0):
                time.sleep(100)

        actor = Actor.remote()
        ray.get(actor.__ray_ready__.remote())
        called = actor.slow.remote()
        behind = actor.slow.remote(called)
        ray.kill(actor)
        ray.wait([behind])
        raise ValueError("why it failed")
        """,
        check=False,
    )
    assert ended.stderr.rstrip().endswith("ValueError: why it failed")
