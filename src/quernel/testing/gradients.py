"""Is a backward pass right? Compare it with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quernel.arrays import as_array
from quernel.autograd import run_backward
from quernel.tensor import Tensor

__all__ = ["check_gradients"]

# Step of the 4-point stencil: its error grows as step^4 times the fifth derivative, the error of rounding as
# 2^-53 / step; at 1e-3 both are near 1e-12 for functions of order 1, far below the tolerance.
_STEP = 1e-3
_TOLERANCE = 1e-6


def check_gradients(
    function: Callable[..., Any],
    *inputs: Any,
    step: float = _STEP,
    tolerance: float = _TOLERANCE,
    seed: int = 0,
) -> None:
    """Raise unless the gradients of `function` agree with finite differences.

    For each input x in turn, with a random direction v and random weights w of the outputs, the slope of
    ``sum(w * function(x + t v))`` at t = 0 is estimated from four points (error of order step**4) and
    compared with ``sum(gradient * v)``. No component of v or w is near 0, so that every element of the
    gradient counts.

    Parameters
    ----------
    function : takes tensors, returns a tensor or a tuple of tensors; the same for the same inputs (seed its
        random numbers, or make them before).
    inputs : arrays or numbers; floats are checked in float64, integers and booleans are passed as they are.
        Keep them several steps away from points where the function has a kink or a jump.
    step : default 1e-3.
    tolerance : how far the two may differ relative to the larger, default 1e-6.
    seed : of v and w.

    Raises
    ------
    AssertionError : if a gradient is wrong or missing, or the function changes its inputs.
    TypeError, ValueError : if there is nothing to check, or the function is not the same each time.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import ops, testing
    >>> testing.check_gradients(ops.matmul, np.ones((2, 3)), np.ones((3, 4)))
    """
    rng = np.random.default_rng(seed)
    arrays = [_checked(x) for x in inputs]
    floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f" and x.size]
    if not floats:
        raise ValueError("check_gradients: expected at least one float input that is not empty")
    before = [x.copy() for x in arrays]
    tensors = [Tensor(x.copy(), requires_grad=x.dtype.kind == "f") for x in arrays]
    outputs = _outputs(function(*tensors))
    weights = [_direction(rng, y.shape) for y in outputs]
    size = float(sum(np.sum(np.abs(w * y.data)) for w, y in zip(weights, outputs, strict=True)))
    _backward(outputs, weights)
    for i, (tensor, x) in enumerate(zip(tensors, before, strict=True)):
        if not np.array_equal(tensor.data, x):
            raise AssertionError(f"check_gradients: the function or its backward changed input {i}")
    again = _outputs(function(*tensors))
    if not all(np.array_equal(y.data, z.data, equal_nan=True) for y, z in zip(outputs, again, strict=True)):
        raise ValueError(
            "check_gradients: the function gave two results for the same inputs; seed its random numbers "
            "inside it (quernel.random.seed), or make them before"
        )
    for i in floats:
        v = _direction(rng, arrays[i].shape)

        def weighted(t: float, i: int = i, v: np.ndarray = v) -> np.ndarray:
            moved = [Tensor(x + t * v if j == i else x.copy()) for j, x in enumerate(before)]
            return np.array(
                [np.sum(w * y.data) for w, y in zip(weights, _outputs(function(*moved)), strict=True)]
            )

        inner, outer = weighted(step) - weighted(-step), weighted(2 * step) - weighted(-2 * step)
        slope = float(np.sum(8 * inner - outer)) / (12 * step)
        grad = tensors[i].grad
        if grad is not None and (grad.shape != arrays[i].shape or grad.dtype != np.float64):
            raise AssertionError(
                f"check_gradients: the gradient of input {i} is {grad.dtype} of shape {grad.shape}, expected "
                f"float64 of shape {arrays[i].shape}"
            )
        found = float(np.sum(grad.data * v)) if grad is not None else 0.0
        # What rounding alone can do to the four sums.
        rounding = 8 * np.finfo(np.float64).eps / step * size + 1e-12
        if not abs(found - slope) <= tolerance * max(abs(found), abs(slope)) + rounding:
            missing = "; backward gave it no gradient at all" if grad is None else ""
            raise AssertionError(
                f"check_gradients: the gradient of input {i} (shape {arrays[i].shape}) is wrong: along a "
                f"random direction backward gives {found:.12g}, finite differences give {slope:.12g} "
                f"(relative difference {abs(found - slope) / max(abs(found), abs(slope)):.2g}, allowed "
                f"{tolerance:g}){missing}"
            )


def _checked(x: Any) -> np.ndarray:
    array = as_array(x)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _direction(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers of size 0.5 to 1.5 and either sign."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def _outputs(result: Any) -> list[Tensor]:
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(
                f"check_gradients: expected the function to return tensors, got {type(y).__name__}"
            )
    return [y for y in outputs if y.dtype.kind == "f"]


def _backward(outputs: Sequence[Tensor], weights: Sequence[np.ndarray]) -> None:
    wanted = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    for k, (y, w) in enumerate(wanted):  # the outputs share a graph: free it with the last
        if y.dtype != np.float64:
            raise AssertionError(f"check_gradients: float64 inputs gave a {y.dtype} output")
        run_backward(y, w, retain_graph=k + 1 < len(wanted))
