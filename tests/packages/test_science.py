"""Packages that search and fit in parallel: cotengra, xyzpy, pymoo, deephyper, sktime, spark-bestfit, EconML, STUMPY."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def loss(job):
    return -((job.parameters["x"] - 1) ** 2)


def test_cotengra():
    import cotengra

    inputs, output, _, sizes = cotengra.utils.rand_equation(20, 3, seed=1)
    search = {"methods": ["greedy"], "max_repeats": 16, "progbar": False, "optlib": "random", "reconf_opts": None}
    tree = cotengra.HyperOptimizer(parallel="ray", **search).search(inputs, output, sizes)
    serial = cotengra.HyperOptimizer(parallel=False, **search).search(inputs, output, sizes)
    assert tree.is_complete()
    assert 0.1 < tree.contraction_cost() / serial.contraction_cost() < 10  # both are random searches
    arrays = cotengra.utils.make_arrays_from_inputs(inputs, sizes, seed=2)
    assert np.allclose(tree.contract(arrays), serial.contract(arrays))


def test_xyzpy():
    import xyzpy
    from xyzpy.gen.ray_executor import RayExecutor

    def both(a, b):
        return a + b, a * b

    runner = xyzpy.Runner(both, ["sum", "product"])
    combos = {"a": [1, 2, 3], "b": [4, 5]}
    assert runner.run_combos(combos).identical(runner.run_combos(combos, executor=RayExecutor()))


def test_pymoo():
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize
    from pymoo.parallelization.ray import RayParallelization

    class Sphere(ElementwiseProblem):
        def __init__(self, **options):
            super().__init__(n_var=4, n_obj=1, xl=-2, xu=2, **options)

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = (x**2).sum()

    serial = minimize(Sphere(), GA(pop_size=10), ("n_gen", 6), seed=1)
    parallel = minimize(Sphere(elementwise_runner=RayParallelization()), GA(pop_size=10), ("n_gen", 6), seed=1)
    assert np.array_equal(serial.X, parallel.X)
    assert serial.F == parallel.F


def test_deephyper(tmp_path):
    from deephyper.evaluator import Evaluator
    from deephyper.hpo import HpProblem, RandomSearch

    async def loss_here(job):
        return loss(job)

    def search(method, function):
        problem = HpProblem()
        problem.add_hyperparameter((-3.0, 3.0), "x")
        evaluator = Evaluator.create(function, method=method)
        return RandomSearch(problem, random_state=1, log_dir=str(tmp_path / method)).search(evaluator, max_evals=8)

    parallel, serial = search("ray", loss), search("serial", loss_here)
    assert np.allclose(parallel.objective, -((parallel["p:x"] - 1) ** 2))
    # Which points are drawn depends on how many are asked for at once; what each gives does not.
    assert np.allclose(serial.objective, -((serial["p:x"] - 1) ** 2))


def test_sktime():
    from sktime.datasets import load_airline
    from sktime.forecasting.model_evaluation import evaluate
    from sktime.forecasting.naive import NaiveForecaster
    from sktime.split import ExpandingWindowSplitter

    series = load_airline()
    splits = ExpandingWindowSplitter(initial_window=24, step_length=24, fh=[1, 2, 3])
    forecaster = NaiveForecaster("mean", sp=12)
    serial = evaluate(forecaster, splits, series)
    parallel = evaluate(forecaster, splits, series, backend="ray", backend_params={"shutdown_ray": False})
    columns = [name for name in serial.columns if "time" not in name]
    pd.testing.assert_frame_equal(serial[columns], parallel[columns])


def test_spark_bestfit():
    from spark_bestfit import DistributionFitter
    from spark_bestfit.backends.local import LocalBackend
    from spark_bestfit.backends.ray import RayBackend

    data = pd.DataFrame({"x": np.random.default_rng(0).normal(3, 2, 2000)})

    def best(backend):
        found = DistributionFitter(backend=backend).fit(data, column="x", max_distributions=8)
        return [(fit.distribution, round(fit.sse, 9)) for fit in found.best(n=3)]

    assert best(RayBackend()) == best(LocalBackend())


def test_econml_folds_side_by_side():
    from econml.dml import LinearDML
    from sklearn.linear_model import LassoCV

    random = np.random.default_rng(0)
    features, controls = random.normal(size=(300, 3)), random.normal(size=(300, 2))
    treatment = features[:, 0] + random.normal(size=300)
    outcome = 2 * treatment + features[:, 1] + random.normal(size=300)

    def effects(**how):
        model = LinearDML(model_y=LassoCV(), model_t=LassoCV(), random_state=1, cv=3, **how)
        return model.fit(outcome, treatment, X=features, W=controls).effect(features)

    parallel = effects(use_ray=True, ray_remote_func_options={"num_cpus": 1})
    np.testing.assert_allclose(parallel, effects())


def test_stumpy_matrix_profile():
    import ray
    import stumpy

    series = np.random.default_rng(0).normal(size=400)
    with pytest.warns(UserWarning, match="Ray support"):
        parallel = stumpy.stumped(ray, series, m=20)
    np.testing.assert_allclose(parallel[:, 0].astype(float), stumpy.stump(series, m=20)[:, 0].astype(float))
