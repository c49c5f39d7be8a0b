"""LSTM and Bidirectional as layers: what they are called with, what they keep, what they refuse."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from quernel import layers, ops, reference
from quernel import random as qn_random
from quernel.autograd import no_grad
from quernel.tensor import Tensor


@pytest.fixture(autouse=True)
def _seed(rng: np.random.Generator) -> None:
    qn_random.seed(int(rng.integers(2**31)))


def sequences(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(-1, 1, shape or (3, 5, 4))


def lstm(units: int = 6, **options: object) -> layers.LSTM:
    return layers.LSTM(units, dtype="float64", **options)


def weights(layer: layers.LSTM) -> list[np.ndarray | None]:
    return [layer.kernel.data, layer.recurrent_kernel.data, None if layer.bias is None else layer.bias.data]


def test_weights_as_in_keras(rng: np.random.Generator) -> None:
    layer = lstm(6)
    layer.build((None, None, 4))
    assert {name: p.shape for name, p in layer.named_parameters()} == {
        "kernel": (4, 24),
        "recurrent_kernel": (6, 24),
        "bias": (24,),
    }
    np.testing.assert_array_equal(layer.bias.data, np.repeat([0, 1, 0, 0], 6))
    recurrent = layer.recurrent_kernel.data
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(6), atol=1e-12)
    plain = lstm(6, unit_forget_bias=False)
    plain.build((None, None, 4))
    assert not plain.bias.data.any()


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("go_backwards", [True, False])
def test_outputs(rng: np.random.Generator, go_backwards: bool, use_bias: bool) -> None:
    x, state = sequences(rng), [sequences(rng, 3, 6), sequences(rng, 3, 6)]
    layer = lstm(use_bias=use_bias, go_backwards=go_backwards, return_sequences=True, return_state=True)
    y, h, c = layer(x, initial_state=state)
    h_seq, h_n, c_n, _, _ = reference.lstm_forward(x, *weights(layer), *state, None, go_backwards)
    np.testing.assert_allclose(y.numpy(), h_seq[:, ::-1] if go_backwards else h_seq, atol=1e-14)
    np.testing.assert_allclose(h.numpy(), h_n, atol=1e-14)
    np.testing.assert_allclose(c.numpy(), c_n, atol=1e-14)
    np.testing.assert_array_equal(y.numpy()[:, -1], h.numpy())  # the last one read stands last
    layer.return_sequences = layer.return_state = False
    np.testing.assert_array_equal(layer(x, initial_state=state).numpy(), h.numpy())


def test_lengths_and_mask_say_the_same(rng: np.random.Generator) -> None:
    x, lengths = sequences(rng), [5, 2, 0]
    layer = lstm(return_sequences=True, return_state=True)
    by_lengths = layer(x, lengths=lengths)
    by_mask = layer(x, mask=np.arange(5) < np.array(lengths)[:, None])
    for a, b in zip(by_lengths, by_mask, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    y, h, c = (part.numpy() for part in by_lengths)
    np.testing.assert_array_equal(y[1, 1], h[1])
    assert not y[1, 2:].any()
    assert not c[2].any()


def test_stateful_in_pieces_is_the_whole(rng: np.random.Generator) -> None:
    x = sequences(rng, 2, 6, 4)
    layer = lstm(return_sequences=True)
    whole = layer(x).numpy()
    layer.stateful = True
    pieces = [layer(x[:, t : t + 2]) for t in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate([p.numpy() for p in pieces], 1), whole, atol=1e-14)
    ops.sum(pieces[-1]).backward()  # ends at the piece's first step: the earlier graphs are not entered
    with pytest.raises(ValueError, match=r"reset_state\(\)"):
        layer(x[:1])
    layer.reset_state()
    np.testing.assert_array_equal(layer(x[:, :2]).numpy(), pieces[0].numpy())


def test_finding_a_shape_leaves_the_state_alone(rng: np.random.Generator) -> None:
    class Model(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = layers.LSTM(2, stateful=True)

        def call(self, x: Tensor) -> Tensor:
            return self.lstm(x)

    model, x = Model(), sequences(rng)
    assert model.compute_output_shape((None, 5, 4)) == (None, 2)
    first = model(x).numpy()
    assert model.compute_output_shape((None, 5, 4)) == (None, 2)
    assert not np.array_equal(model(x).numpy(), first)
    model.reset_state()  # reaches all layers inside
    np.testing.assert_array_equal(model(x).numpy(), first)


def test_dropout_drops_whole_columns_in_training_only(rng: np.random.Generator) -> None:
    x = np.ones((2, 7, 50))
    layer = lstm(4, dropout=0.5, return_sequences=True)
    twin = lstm(4, return_sequences=True)
    twin.build(x.shape)
    layer.build(x.shape)
    twin.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(layer.eval()(x).numpy(), twin(x).numpy())
    seen: list[np.ndarray] = []
    original = ops.lstm
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "lstm", lambda x, *a, **k: seen.append(x.data) or original(x, *a, **k))
        layer.train()(x)
    assert set(np.unique(seen[0])) == {0.0, 2.0}
    assert (seen[0] == seen[0][:, :1]).all()


def test_gradients_reach_every_weight_and_state(rng: np.random.Generator) -> None:
    layer = lstm(3, return_sequences=True, recurrent_regularizer="l2")
    x = ops.multiply(sequences(rng), 1.0)
    h, c = (layer._cast(ops.multiply(sequences(rng, 3, 3), 1.0)) for _ in range(2))
    for tensor in (x, h, c):
        tensor.requires_grad = True
    ops.sum(layer(x, initial_state=[h, c])).backward()
    for tensor in (x, h, c, *layer.parameters()):
        assert tensor.grad is not None
        assert np.abs(tensor.grad.numpy()).max() > 0
    assert layer.regularization_loss().item() > 0


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_bidirectional(rng: np.random.Generator, return_sequences: bool, merge_mode: str | None) -> None:
    x, lengths = sequences(rng), np.array([5, 1, 3])
    layer = layers.Bidirectional(
        lstm(return_sequences=return_sequences, return_state=True), merge_mode=merge_mode
    )
    *joined, forward_h, forward_c, backward_h, backward_c = (t.numpy() for t in layer(x, lengths=lengths))
    ways = [
        reference.lstm_forward(x, *weights(inside), *np.zeros((2, 3, 6)), lengths, way)
        for inside, way in ((layer.forward_layer, False), (layer.backward_layer, True))
    ]
    for actual, expected in zip(
        (forward_h, forward_c, backward_h, backward_c), (*ways[0][1:3], *ways[1][1:3]), strict=True
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-14)
    a, b = (way[0 if return_sequences else 1] for way in ways)
    expected = {
        "concat": [np.concatenate([a, b], -1)],
        "sum": [a + b],
        "mul": [a * b],
        "ave": [(a + b) / 2],
        None: [a, b],
    }[merge_mode]
    for got, want in zip(joined, expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-14)
    shapes = layer.compute_output_shape((3, 5, 4))
    assert [tuple(s) for s in shapes] == [t.shape for t in (*joined, *[forward_h] * 4)]


def test_bidirectional_has_weights_of_its_own_each_way(rng: np.random.Generator) -> None:
    layer = layers.Bidirectional(layers.LSTM(3))
    layer.build((None, 5, 4))
    assert sorted(name for name, _ in layer.named_parameters()) == [
        f"{way}_layer.{name}"
        for way in ("backward", "forward")
        for name in ("bias", "kernel", "recurrent_kernel")
    ]
    assert not np.array_equal(layer.forward_layer.kernel.data, layer.backward_layer.kernel.data)
    again = layers.Bidirectional.from_config(layer.get_config())
    assert again.forward_layer.units == 3
    state = copy.deepcopy(layer.state_dict())
    again.build((None, 5, 4))
    again.load_state_dict(state)


def test_bidirectional_initial_and_carried_state(rng: np.random.Generator) -> None:
    x, state = sequences(rng), [sequences(rng, 3, 6) for _ in range(4)]
    layer = layers.Bidirectional(lstm(stateful=True))
    with no_grad():
        first = layer(x, initial_state=state).numpy()
        carried = layer(x).numpy()
        layer.reset_state()
        fresh = layer(x).numpy()
    forward = reference.lstm_forward(x, *weights(layer.forward_layer), *state[:2], None, False)[1]
    np.testing.assert_allclose(first[:, :6], forward, atol=1e-14)
    assert not np.array_equal(carried, fresh)


def test_output_shapes() -> None:
    assert lstm(6).compute_output_shape((None, 5, 4)) == (None, 6)
    assert lstm(6, return_sequences=True).compute_output_shape((None, None, 4)) == (None, None, 6)
    assert layers.Bidirectional(lstm(6)).compute_output_shape((None, 5, 4)) == (None, 12)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: layers.LSTM(0), ValueError, "units as an integer of at least 1, got 0"),
        (lambda: layers.LSTM(2, activation="relu"), ValueError, "compiled .* got 'relu'"),
        (lambda: layers.LSTM(2, dropout=1.5), ValueError, r"\[0, 1\), got 1.5"),
        (lambda: layers.LSTM(2, return_sequence=True), TypeError, "return_sequences"),
        (
            lambda: layers.LSTM(2)(np.ones((3, 4))),
            ValueError,
            r"expected input \(batch, steps, 4\), got \(3, 4\)",
        ),
        (
            lambda: lstm()(np.ones((3, 5, 4)), lengths=[5, 6, 1]),
            ValueError,
            "from 0 to 5, got 1 to 6",
        ),
        (
            lambda: lstm()(np.ones((3, 5, 4)), lengths=[5, 2]),
            ValueError,
            "one length for each of 3 rows",
        ),
        (lambda: lstm()(np.ones((3, 5, 4)), lengths=[5.0, 2.0, 1.0]), TypeError, "lengths"),
        (lambda: lstm()(np.ones((1, 3, 4)), mask=np.array([[1, 0, 1]])), ValueError, "boolean mask"),
        (
            lambda: lstm()(np.ones((1, 3, 4)), mask=np.array([[True, False, True]])),
            ValueError,
            "padding behind",
        ),
        (lambda: lstm()(np.ones((1, 3, 4)), lengths=[1], mask=np.ones((1, 3), bool)), ValueError, "got both"),
        (lambda: lstm()(np.ones((3, 5, 4)), initial_state=np.ones((3, 6))), ValueError, r"\[h, c\]"),
        (
            lambda: lstm()(np.ones((3, 5, 4)), initial_state=[np.ones((3, 5)), np.ones((3, 6))]),
            ValueError,
            r"states of shape \(3, 6\), got \(3, 5\) and \(3, 6\)",
        ),
        (lambda: layers.Bidirectional(layers.Dense(2)), TypeError, "expected layer as an LSTM, got Dense"),
        (lambda: layers.Bidirectional(lstm(), merge_mode="add"), ValueError, "'sum', 'mul'"),
        (lambda: layers.Bidirectional(lstm(go_backwards=True)), ValueError, "reads forwards"),
        (
            lambda: layers.Bidirectional(lstm(), backward_layer=lstm(return_sequences=True)),
            ValueError,
            "same return_sequences",
        ),
        (
            lambda: layers.Bidirectional(lstm())(np.ones((3, 5, 4)), initial_state=[np.ones((3, 6))] * 2),
            ValueError,
            r"\[h, c, h, c\]",
        ),
    ],
)
def test_wrong_use(make: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()  # type: ignore[operator]


def test_used_layer_in_bidirectional() -> None:
    layer = lstm()
    layer(np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="has been used"):
        layers.Bidirectional(layer)
