"""CPython's own tests of executors, run with ``nbray.Executor`` as the executor.

They come with the interpreter (the package ``test``); what they say of processes in general is taken as it is,
what they say of the inner parts of ProcessPoolExecutor is left out.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import unittest
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool

from test import support
from test.test_concurrent_futures import executor, test_as_completed, test_init, test_process_pool, test_shutdown
from test.test_concurrent_futures import test_wait as test_waiting
from test.test_concurrent_futures.util import BaseTestCase, ExecutorMixin, create_executor_tests

import nbray

support.use_resources = ["walltime"]  # also the tests that wait for seconds


def setUpModule():
    nbray.init(num_cpus=2)


def tearDownModule():
    nbray.shutdown()


class NbrayMixin(ExecutorMixin):
    executor_type = nbray.Executor


def run_program(*args, **env):
    """As ``assert_python_ok``: the program's executor is nbray's, its output is that of the workers without their names."""
    flag, text = args
    start = f"import sys\nsys.path[:] = {sys.path!r}\nimport nbray, concurrent.futures\nconcurrent.futures.Executor = nbray.Executor\n"
    code, out, err = original_run(flag, start + text, **env)
    return code, re.sub(rb"\x1b\[\d+m|\(\S+ pid=\d+\) ", b"", out), err


original_run = test_shutdown.assert_python_ok
test_shutdown.assert_python_ok = run_program

for tests in (executor.ExecutorTest, test_waiting.WaitTests, test_as_completed.AsCompletedTests):
    create_executor_tests(globals(), tests, executor_mixins=(NbrayMixin,))
for tests in (test_init.InitializerMixin, test_init.FailingInitializerMixin, test_shutdown.ExecutorShutdownTest):
    create_executor_tests(globals(), tests, executor_mixins=(NbrayMixin,))


class ProcessesTest(NbrayMixin, BaseTestCase):
    """What test_process_pool says of any executor whose workers are processes."""

    original = test_process_pool.ProcessPoolExecutorTest
    test_map_chunksize = original.test_map_chunksize

    def test_killed_child(self):
        pid = self.executor.submit(os.getpid).result()
        future = self.executor.submit(signal.pause)
        os.kill(pid, signal.SIGKILL)
        self.assertRaises(BrokenProcessPool, future.result)
        self.assertRaises(BrokenProcessPool, self.executor.submit, pow, 2, 8)

    def test_traceback(self):
        future = self.executor.submit(self.original._test_traceback)
        with self.assertRaises(Exception) as caught:
            future.result()
        exc = caught.exception
        self.assertIs(type(exc), RuntimeError)
        self.assertEqual(exc.args, (123,))
        self.assertIn("raise RuntimeError(123) # some comment", str(exc.__cause__))
        with support.captured_stderr() as stderr:
            try:
                raise exc
            except RuntimeError:
                sys.excepthook(*sys.exc_info())
        self.assertIn("raise RuntimeError(123) # some comment", stderr.getvalue())

    def test_max_tasks_per_child(self):
        runner = self.executor_type(1, max_tasks_per_child=3)
        pid = runner.submit(os.getpid).result()
        self.assertEqual([runner.submit(os.getpid).result() for _ in range(2)], [pid, pid])
        self.assertNotEqual(runner.submit(os.getpid).result(), pid)
        self.assertTrue(runner.submit(os.getpid).result())
        runner.shutdown()

    def test_wrong_max_tasks_per_child(self):
        with self.assertRaisesRegex(ValueError, "max_tasks_per_child must be >= 1"):
            self.executor_type(1, max_tasks_per_child=0)
        with self.assertRaises(TypeError):
            self.executor_type(1, max_tasks_per_child="1")

    def test_context_manager_shutdown(self):
        with self.executor_type(max_workers=5) as runner:
            self.assertEqual(list(runner.map(abs, range(-5, 5))), [5, 4, 3, 2, 1, 0, 1, 2, 3, 4])

    def test_deleted_before_its_results_are_there(self):
        results = self.executor_type(max_workers=5).map(abs, range(-5, 5))
        support.gc_collect()
        self.assertEqual(list(results), [5, 4, 3, 2, 1, 0, 1, 2, 3, 4])

    def test_shutdown_no_wait(self):
        runner = self.executor_type(max_workers=5)
        results = runner.map(abs, range(-5, 5))
        runner.shutdown(wait=False)
        self.assertEqual(list(results), [5, 4, 3, 2, 1, 0, 1, 2, 3, 4])

    def test_an_executor_is_a_futures_executor(self):
        self.assertIsInstance(self.executor, futures.Executor)


if __name__ == "__main__":
    unittest.main()
