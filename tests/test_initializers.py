"""Initializers: the moments and bounds that Keras documents, seeds, shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest

import quernel as qn
from quernel import initializers

SHAPES = {(200, 300): (200, 300), (3, 3, 40, 50): (360, 450)}
SCALED = {
    "glorot_uniform": (1, "avg"), "glorot_normal": (1, "avg"),
    "he_uniform": (2, "in"), "he_normal": (2, "in"),
    "lecun_uniform": (1, "in"), "lecun_normal": (1, "in"),
}  # fmt: skip


@pytest.mark.parametrize(("shape", "fans"), SHAPES.items())
@pytest.mark.parametrize("name", SCALED)
def test_variance_follows_the_fans(name, shape, fans):
    qn.random.seed(0)
    scale, mode = SCALED[name]
    variance = scale / (fans[0] if mode == "in" else sum(fans) / 2)
    values = initializers.get(name)(shape, "float64")
    # 18,000 draws or more: three standard errors are 2.3 % of the deviation and 3.2 % of the variance.
    assert abs(values.mean()) < 0.03 * math.sqrt(variance)
    assert values.var() == pytest.approx(variance, rel=0.04)
    bound = math.sqrt(3 * variance) if "uniform" in name else 2 * math.sqrt(variance) / 0.8796256610342398
    assert np.abs(values).max() <= bound


def test_truncated_normal_stays_within_two_deviations():
    values = initializers.TruncatedNormal(1.0, 0.5, seed=3)((1000,), "float64")
    assert np.abs(values - 1.0).max() <= 1.0
    assert values.std() == pytest.approx(0.5 * 0.8796, rel=0.06)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 3, 2, 8)])
def test_orthogonal(shape):
    matrix = initializers.Orthogonal(gain=2.0, seed=0)(shape, "float64").reshape(-1, shape[-1])
    small = min(matrix.shape)
    product = matrix.T @ matrix if matrix.shape[1] == small else matrix @ matrix.T
    np.testing.assert_allclose(product, 4 * np.eye(small), atol=1e-12)


def test_constants():
    assert (initializers.get("zeros")((2, 2), "float32") == 0).all()
    assert (initializers.get("ones")((2, 2), "float32") == 1).all()
    assert (initializers.Constant(3.5)((2, 2), "float32") == 3.5).all()
    table = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(initializers.Constant(table)((3, 2), "float32"), table)


def test_an_array_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 2\) does not fit a weight of shape \(4, 2\)"):
        initializers.Constant(np.ones((3, 2)))((4, 2), "float32")


@pytest.mark.parametrize("name", sorted({cls.__name__ for cls in initializers._CLASSES}))
def test_each_gives_its_shape_and_type(name):
    values = initializers.get(name)((3, 5), "float32")
    assert values.shape == (3, 5)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert values.flags.writeable
    assert repr(initializers.get(name)).startswith(name)


def test_the_global_seed_repeats_draws_and_goes_on_between_them():
    qn.random.seed(7)
    first, second = (initializers.GlorotUniform()((4, 4), "float32") for _ in range(2))
    qn.random.seed(7)
    np.testing.assert_array_equal(first, initializers.GlorotUniform()((4, 4), "float32"))
    assert not np.array_equal(first, second)


def test_a_seed_of_its_own_gives_the_same_values_each_time():
    draw = initializers.RandomNormal(seed=1)
    np.testing.assert_array_equal(draw((5,), "float32"), draw((5,), "float32"))


def test_float32_and_float64_draw_the_same_numbers():
    draw = initializers.HeNormal(seed=1)
    np.testing.assert_array_equal(draw((5, 5), "float32"), draw((5, 5), "float64").astype("float32"))


@pytest.mark.parametrize("shape", [(), (4,), (0, 3)])
def test_odd_shapes(shape):
    assert initializers.GlorotUniform()(shape, "float32").shape == shape


def test_wrong_arguments():
    with pytest.raises(ValueError, match="expected scale > 0, got -1"):
        initializers.VarianceScaling(-1)
    with pytest.raises(ValueError, match=r"unknown mode 'fan_up': did you mean"):
        initializers.VarianceScaling(mode="fan_up")
    with pytest.raises(ValueError, match="unknown initializer 'glorot': "):
        initializers.get("glorot")
    with pytest.raises(ValueError, match="at least two axes"):
        initializers.Orthogonal()((3,), "float32")
