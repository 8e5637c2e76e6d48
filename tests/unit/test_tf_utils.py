"""``experimental.tf_utils.TensorFlowVariables`` on objects that behave as TensorFlow's; no TensorFlow needed."""

from __future__ import annotations

import numpy as np
import pytest

from nbray.experimental.tf_utils import TensorFlowVariables


class Variable:
    """What is used of tf.Variable."""

    def __init__(self, name, value):
        self.name = f"{name}:0"
        self.value = np.asarray(value, float)

    @property
    def shape(self):
        return self.value.shape

    def assign(self, value):
        assert np.shape(value) == self.shape
        self.value = np.array(value, float)

    def __array__(self, dtype=None, copy=None):
        return self.value


class Model:
    def __init__(self):
        self.variables = [Variable("kernel", [[1, 2], [3, 4]]), Variable("bias", [5, 6])]


def test_weights():
    model = Model()
    weights = TensorFlowVariables(model)
    assert list(weights.get_weights()) == ["kernel", "bias"]
    weights.set_weights({"bias": [7, 8]})
    assert weights.get_weights()["bias"].tolist() == [7, 8]
    assert weights.get_weights()["kernel"].tolist() == [[1, 2], [3, 4]]


def test_flat():
    weights = TensorFlowVariables(Model())
    assert weights.get_flat_size() == 6
    assert weights.get_flat().tolist() == [1, 2, 3, 4, 5, 6]
    weights.set_flat(np.arange(6))
    assert weights.get_weights()["kernel"].tolist() == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="6 numbers"):
        weights.set_flat([1, 2])


def test_from_one_network_to_another():
    one, other = TensorFlowVariables(Model()), TensorFlowVariables(Model())
    one.set_flat(np.zeros(6))
    other.set_weights(one.get_weights())
    assert other.get_flat().tolist() == [0] * 6


def test_variables_and_wrong_input():
    assert TensorFlowVariables([Variable("a", [1]), Variable("a", [2])]).get_flat().tolist() == [1, 2]
    with pytest.raises(TypeError, match="no model"):
        TensorFlowVariables(object())
    with pytest.raises(ValueError, match="None of the weights"):
        TensorFlowVariables(Model()).set_weights({"elsewhere": 1})
