"""CPython's own tests of ``multiprocessing.Pool``, run with nbray's.

As they stand, but for what they say of the inner parts of CPython's pool.
"""

from __future__ import annotations

import multiprocessing
import unittest

from test import _test_multiprocessing

import nbray
from nbray.util.multiprocessing import Pool


def setUpModule():
    nbray.init(num_cpus=4, log_to_driver=False)


def tearDownModule():
    nbray.shutdown()


class PoolTest(_test_multiprocessing._TestPool, unittest.TestCase):
    TYPE = "processes"
    Pool = staticmethod(Pool)
    multiprocessing = multiprocessing

    test_make_pool = None  # looks at its list of processes
    test_resource_warning = None  # of a pool that is forgotten: as in Ray, its actors end with it
    test_map_unplicklable = (
        None  # SerializationError, a TypeError that says where in the arguments the value is, is raised instead
    )
    test_traceback = None  # the class of the cause is nbray's own

    @classmethod
    def setUpClass(cls):
        cls.pool = Pool(4)

    @classmethod
    def tearDownClass(cls):
        cls.pool.terminate()
        cls.pool.join()
        cls.pool = None

    def __reduce__(self):
        return type(self), ("test_apply",)  # bound methods of it go to the workers, the pool does not
