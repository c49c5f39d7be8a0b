"""Same bits: for any number of threads, run to run, and for a row of a prediction whatever stands beside
it."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import layers

from .networks import NETWORKS, data, trained, weights

ROWS = 301  # enough work for several threads: tests/test_same_bits.py sees to that


@pytest.mark.parametrize("name", NETWORKS)
def test_training_ends_in_the_same_bits_for_any_number_of_threads(name):
    results = []
    for threads in (1, 1, *range(2, 9)):
        with qn.num_threads(threads):
            model, losses = trained(name, rows=ROWS)
            results.append((weights(model), losses))
    assert all(np.isfinite(losses).all() for _, losses in results)
    assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("name", NETWORKS)
def test_another_seed_gives_other_weights(name):
    assert weights(trained(name, steps=1)[0]) != weights(trained(name, steps=1, seed=4)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prediction_does_not_depend_on_its_neighbours(name, rng):
    model, _ = trained(name, steps=2)
    model.eval()
    x, _ = data(name, 70, rng)
    with qn.no_grad():
        whole = model(x).numpy()
        for part in (slice(0, 1), slice(69, 70), slice(3, 40), slice(1, 70)):
            np.testing.assert_array_equal(model(x[part]).numpy().view(np.uint32), whole[part].view(np.uint32))
        order = rng.permutation(70)
        np.testing.assert_array_equal(model(x[order]).numpy().view(np.uint32), whole[order].view(np.uint32))


@pytest.mark.parametrize("name", NETWORKS)
def test_predict_gives_the_same_for_any_batch_size(name, rng):
    model = qn.Sequential([trained(name, steps=2)[0], layers.Activation("softmax")])
    x, _ = data(name, 71, rng)
    whole = model.predict(x, batch_size=71)
    for size in (1, 2, 7, 64):
        np.testing.assert_array_equal(
            model.predict(x, batch_size=size).view(np.uint32), whole.view(np.uint32)
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_both_backends_train_alike(name):
    """The same losses up to rounding: the kernels compute what the reference computes, in whole networks."""
    _, fast = trained(name, steps=3)
    with qn.use_backend("reference"):
        _, slow = trained(name, steps=3)
    np.testing.assert_allclose(fast, slow, rtol=1e-4)


def test_fit_is_the_same_for_any_number_of_threads(rng):
    x, y = data("convolutional", 64, rng)
    results = []
    for threads in (1, 2, 4):
        with qn.num_threads(threads):
            qn.random.seed(1)
            model = NETWORKS["convolutional"]()
            model.compile(
                optimizer="adam",
                loss=qn.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )
            model.fit(x, y, epochs=2, batch_size=16, verbose=0)
            results.append(weights(model))
    assert results[0] == results[1] == results[2]
