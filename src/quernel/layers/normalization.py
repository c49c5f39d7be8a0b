"""Batch normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from quernel import activations, ops
from quernel.layers.base import Layer, LayerOptions
from quernel.layers.shapes import Shape, as_shape, known_size
from quernel.layers.state import Buffer
from quernel.layers.weights import weight_options
from quernel.tensor import Parameter, Tensor


class BatchNormalization(Layer):
    """``activation(gamma * (x - mean) / sqrt(variance + epsilon) + beta)`` per channel (the last axis).

    Training uses mean and variance of the batch, over all other axes, and moves the running ones:
    ``moving = moving * momentum + batch * (1 - momentum)``. Inference, or ``trainable = False``, uses the
    running ones (Ioffe & Szegedy 2015). The variance is the biased one, as in Keras.

    Parameters
    ----------
    momentum : of the running statistics. Default 0.99.
    epsilon : added to the variance. Default 1e-3.
    center, scale : whether there are beta and gamma, both ``(channels,)``.
    activation : name or callable (see `quernel.activations`); None is linear. relu here costs next to nothing,
        as a layer or a call of its own it is another pass over memory each way.
    *_initializer, *_regularizer, *_constraint : see those modules.

    Raises
    ------
    ValueError : in training, when a channel has a single value (a batch of 1 without further axes).

    Examples
    --------
    >>> from quernel import layers
    >>> layers.BatchNormalization()([[0.0], [2.0]]).numpy().round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    gamma: Parameter | None
    beta: Parameter | None
    moving_mean: Buffer
    moving_variance: Buffer

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        activation: Any = None,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if not 0 <= momentum <= 1:
            raise ValueError(f"{self.label}: expected momentum in [0, 1], got {momentum!r}")
        if not 0 < epsilon < math.inf:
            raise ValueError(f"{self.label}: expected epsilon > 0, got {epsilon!r}")
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.center, self.scale = center, scale
        self.activation = activations.get(activation)
        self.beta_options = weight_options(beta_initializer, beta_regularizer, beta_constraint)
        self.gamma_options = weight_options(gamma_initializer, gamma_regularizer, gamma_constraint)
        self.mean_options = weight_options(moving_mean_initializer)
        self.variance_options = weight_options(moving_variance_initializer)

    def build(self, input_shape: Shape) -> None:
        """Make gamma, beta and the running statistics for inputs ``(..., channels)``."""
        size = (known_size(self.label, input_shape),)
        self.gamma = self.add_weight("gamma", size, **self.gamma_options) if self.scale else None
        self.beta = self.add_weight("beta", size, **self.beta_options) if self.center else None
        self.moving_mean = self.add_weight("moving_mean", size, trainable=False, **self.mean_options)
        self.moving_variance = self.add_weight(
            "moving_variance", size, trainable=False, **self.variance_options
        )

    def call(self, x: Tensor) -> Tensor:
        """The same shape."""
        is_relu = self.activation is activations.relu
        y = ops.batch_norm(
            x,
            self.gamma,
            self.beta,
            self.moving_mean,
            self.moving_variance,
            self.training and self.trainable,
            self.momentum,
            self.epsilon,
            "relu" if is_relu else "linear",
            where=self.label,
        )
        return y if is_relu else self.activation(y)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The input's."""
        return as_shape(input_shape)
