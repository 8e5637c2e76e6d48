"""``TensorFlowVariables``: the weights of a network as arrays, to be sent between tasks and actors."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy


class TensorFlowVariables:
    """Reads and writes the variables that an output depends on.

    Parameters
    ----------
    output : tf.keras.Model, tf.Variable, list of them, or (graph mode) tf.Tensor or tf.Operation
        A model, variables, or a loss whose graph is searched for its variables.
    sess : tf.compat.v1.Session, optional
        Graph mode: the session that holds the values; None: eager execution.
    input_variables : list of tf.Variable, optional
        More variables.

    Raises
    ------
    TypeError
        When no variables can be found from ``output``.
    """

    def __init__(self, output: Any, sess: Any = None, input_variables: Iterable[Any] | None = None) -> None:
        self.sess = sess
        found = list(input_variables or ())
        found += _of_graph(output, sess) if sess is not None else _of_model(output)
        #: Variables by name, in the order in which they were found.
        self.variables: OrderedDict[str, Any] = OrderedDict()
        for variable in found:
            name = getattr(variable, "path", None) or variable.name.split(":")[0]
            known = self.variables.get(name)
            if known is not None and known is not variable:
                name = f"{name}_{len(self.variables)}"
            self.variables[name] = variable
        self._assign: dict[str, tuple[Any, Any]] = {}  # graph mode: name -> placeholder, operation

    def get_flat_size(self) -> int:
        """Return how many numbers all variables have together."""
        return sum(int(numpy.prod(variable.shape)) for variable in self.variables.values())

    def get_weights(self) -> OrderedDict[str, numpy.ndarray]:
        """Return the values by name."""
        if self.sess is not None:
            return OrderedDict(self.sess.run(dict(self.variables)))
        return OrderedDict((name, numpy.asarray(variable)) for name, variable in self.variables.items())

    def set_weights(self, new_weights: Mapping[str, Any]) -> None:
        """Set the variables that ``new_weights`` names; others keep their values.

        Raises
        ------
        ValueError
            When it names none of them.
        """
        names = [name for name in new_weights if name in self.variables]
        if not names:
            raise ValueError(
                f"None of the weights {list(new_weights)[:5]} is one of these variables: {list(self.variables)[:5]}."
            )
        if self.sess is None:
            for name in names:
                self.variables[name].assign(new_weights[name])
            return
        feed, operations = {}, []
        for name in names:
            placeholder, operation = self._assignment(name)
            feed[placeholder] = new_weights[name]
            operations.append(operation)
        self.sess.run(operations, feed_dict=feed)

    def get_flat(self) -> numpy.ndarray:
        """Return all values as one vector."""
        weights = self.get_weights()
        if not weights:
            return numpy.zeros(0)
        return numpy.concatenate([numpy.reshape(value, -1) for value in weights.values()])

    def set_flat(self, new_weights: Any) -> None:
        """Set all values from one vector, as ``get_flat`` returns it.

        Raises
        ------
        ValueError
            When its length is another one.
        """
        flat = numpy.asarray(new_weights)
        if flat.shape != (self.get_flat_size(),):
            raise ValueError(f"set_flat needs a vector of {self.get_flat_size()} numbers, got shape {flat.shape}.")
        at, weights = 0, {}
        for name, variable in self.variables.items():
            size = int(numpy.prod(variable.shape))
            weights[name] = flat[at : at + size].reshape(tuple(variable.shape))
            at += size
        if weights:
            self.set_weights(weights)

    def _assignment(self, name: str) -> tuple[Any, Any]:
        made = self._assign.get(name)
        if made is None:
            import tensorflow  # noqa: PLC0415 - graph mode only

            variable = self.variables[name]
            with variable.graph.as_default():
                placeholder = tensorflow.compat.v1.placeholder(variable.dtype.base_dtype, variable.shape)
                made = self._assign[name] = placeholder, variable.assign(placeholder)
        return made


def _of_model(output: Any) -> list[Any]:
    """Return the variables of a model, of variables, or of a list of these."""
    if isinstance(output, (list, tuple)):
        return [variable for part in output for variable in _of_model(part)]
    variables = getattr(output, "variables", None)
    if variables is not None:
        return list(variables)
    if hasattr(output, "assign") and hasattr(output, "shape"):
        return [output]
    raise TypeError(
        f"{type(output).__name__} is no model and no variable. Pass a Keras model or its variables, or, in graph mode, the "
        "output and its session."
    )


def _of_graph(output: Any, sess: Any) -> list[Any]:
    """Return the variables of the graph on which an output depends (breadth first, as its inputs are listed)."""
    outputs = output if isinstance(output, (list, tuple)) else [output]
    queue: deque[Any] = deque(getattr(part, "op", part) for part in outputs)
    seen, names = set(queue), set()
    while queue:
        operation = queue.popleft()
        if operation.type in ("Variable", "VariableV2", "VarHandleOp"):
            names.add(operation.name)
        inputs = [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
        for source in inputs:
            if source not in seen:
                seen.add(source)
                queue.append(source)
    variables = sess.graph.get_collection("variables")  # tf.compat.v1.GraphKeys.GLOBAL_VARIABLES
    return [variable for variable in variables if variable.op.name in names]
