"""Cells that work on variables of TensorFlow and models of Keras, as they would here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from kit import Kernel

if find_spec("tensorflow") is None:  # to import it takes its time, and is the kernel's business
    pytest.skip("no TensorFlow here (make test-notebooks has it)", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def tensorflow_there(kernel: Kernel) -> None:
    kernel.ok("import tensorflow as tf, keras\nimport numpy as np")


@pytest.mark.parametrize("n", [3, 600_000])
def test_a_variable_that_is_assigned_to(kernel: Kernel, n: int) -> None:
    kernel.ok(f"v = tf.Variable(tf.zeros({n}))\nbox = [v]\ndef add(x): x.assign_add(tf.ones({n}))")
    kernel.ok("%%remote --quiet\nv.assign_add(tf.ones(v.shape))\nadd(box[0])\nNone")
    assert kernel.ok("float(v[0]), float(tf.reduce_sum(v)), box[0] is v").value == f"(2.0, {2.0 * n}, True)"
    cell = kernel.ok("%%remote\nfloat(v[0])")
    assert cell.value == "2.0" and not cell.text("stderr")


@pytest.mark.parametrize("width", [8, 600])
def test_a_model_that_a_function_trains(kernel: Kernel, width: int) -> None:
    kernel.ok(
        f"x = np.random.rand(64, 20).astype('f4')\ny = x.sum(1)\n"
        f"model = keras.Sequential([keras.layers.Dense({width}), keras.layers.Dense({width}), keras.layers.Dense(1)])\n"
        "model.build((None, 20))\nmodel.compile('sgd', 'mse')\nsame, before = model, model.get_weights()[0].copy()\n"
        "def train(m): m.fit(x, y, epochs=1, verbose=0)"
    )
    kernel.ok("%%remote --quiet\ntrain(model)\nNone")
    assert kernel.ok("same is model, np.allclose(model.get_weights()[0], before)").value == "(True, False)"
