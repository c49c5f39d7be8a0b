"""Layer: what belongs to it, state, modes, dtypes, lazy build."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import quernel as qn
from quernel import layers, ops
from quernel.layers import Buffer, Dense, Layer


class Block(Layer):
    """Layers and weights in every place where they may be."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first = Dense(3)
        self.stack = [Dense(3), Dense(3)]
        self.heads = {"left": Dense(2), "right": Dense(1)}
        self.scale = qn.Parameter([2.0], name="scale")
        self.seen = Buffer(np.zeros(1, np.float32))
        self.again = self.first
        self.me = self  # a circle

    def call(self, x):
        for layer in [self.first, *self.stack]:
            x = layer(x)
        return ops.multiply(ops.concatenate([self.heads["left"](x), self.heads["right"](x)], -1), self.scale)


NAMES = [
    "first.kernel", "first.bias", "stack.0.kernel", "stack.0.bias", "stack.1.kernel", "stack.1.bias",
    "heads.left.kernel", "heads.left.bias", "heads.right.kernel", "heads.right.bias", "scale", "seen",
]  # fmt: skip


@pytest.fixture
def block():
    qn.random.seed(0)
    block = Block()
    block(np.ones((2, 4)))
    return block


def test_names_are_paths_and_each_weight_comes_once(block):
    assert list(block.state_dict()) == NAMES
    assert [name for name, _ in block.named_parameters()] == NAMES[:-1]
    assert next(name for name, _ in block.named_parameters("net")) == "net.first.kernel"
    assert len(block.buffers) == 1
    assert block.count_params() == (4 * 3 + 3) + 2 * (9 + 3) + (6 + 2) + (3 + 1) + 1 + 1
    block.stack.append(Dense(2))
    block.stack[-1].build((None, 3))
    assert "stack.2.kernel" in block.state_dict()


def test_state_is_a_copy_and_comes_back(block):
    x = np.ones((2, 4))
    before, state = block(x).numpy(), block.state_dict()
    block.load_state_dict({name: np.zeros_like(value) for name, value in state.items()})
    assert (block(x).numpy() == 0).all()
    addresses = [parameter.data.ctypes.data for parameter in block.parameters()]
    block.load_state_dict({name: value.astype(np.float64) for name, value in state.items()})
    np.testing.assert_array_equal(block(x).numpy(), before)
    assert [parameter.data.ctypes.data for parameter in block.parameters()] == addresses
    other = Block()
    other.build((None, 4))
    other(x)
    other.load_state_dict({name: qn.tensor(value) for name, value in state.items()})
    np.testing.assert_array_equal(other(x).numpy(), before)


def test_a_state_that_does_not_fit_names_all_that_is_wrong_and_changes_nothing(block):
    state = block.state_dict()
    before = {name: value.copy() for name, value in state.items()}
    del state["first.bias"]
    state["typo"] = np.zeros(3)
    state["scale"] = np.zeros(7)
    state["stack.0.kernel"] = np.array([["a"] * 3] * 3)
    state["stack.1.kernel"] += 1
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        block.load_state_dict(state)
    message = str(caught.value)
    for part in (
        "Block 'block",
        "missing: first.bias",
        "unexpected: typo",
        "scale (expected (1,), got (7,))",
        "stack.0.kernel (expected numbers",
        "nothing was loaded",
        "with the arguments it was saved with",
    ):
        assert part in message
    with pytest.raises(ValueError, match=r"of another kind: .*scale"):
        block.load_state_dict(state, strict=False)
    for name, value in block.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    block.load_state_dict({"scale": [5.0], "typo": 1}, strict=False)
    assert block.scale.item() == 5.0


def test_long_lists_of_names_are_cut(block):
    with pytest.raises(ValueError, match=r"missing: first.kernel, .* and 4 more"):
        block.load_state_dict({})


def test_weights_do_not_exist_before_the_first_input():
    block = Block()
    for ask in (
        block.parameters,
        block.state_dict,
        block.count_params,
        lambda: list(block.named_parameters()),
    ):
        with pytest.raises(ValueError, match=r"Dense 'dense.*has no weights yet.*Call the model once"):
            ask()


def test_a_failed_build_can_be_repeated():
    layer = layers.Conv2D(4, 3)
    with pytest.raises(ValueError, match="expected input"):
        layer(np.zeros((2, 3)))
    assert not layer.built
    assert layer(np.zeros((2, 5, 5, 1))).shape == (2, 3, 3, 4)


def test_building_twice_keeps_the_weights():
    layer = Dense(3)
    layer.build((None, 4))
    kernel = layer.kernel
    layer.build((None, 4))
    assert layer.kernel is kernel
    for wrong in (("a", 3), (None, -3), (2.5, 1)):
        with pytest.raises(ValueError, match="expected a shape such as"):
            Dense(3).build(wrong)


def test_modes_reach_everything_inside_and_come_back(block):
    inside = [block.first, *block.stack, *block.heads.values()]
    assert block.eval() is block
    assert not any(layer.training for layer in inside)
    block.stack[0].train()
    block(np.ones((2, 4)), training=True)
    assert block.stack[0].training
    assert not block.training
    assert not block.first.training
    assert block.train().first.training


def test_call_is_told_the_mode_if_it_asks():
    class Asks(Layer):
        def call(self, x, training=None):
            return ops.multiply(x, 2.0 if training else 3.0)

    layer = Asks()
    assert layer([1.0]).item() == 2.0
    assert layer([1.0], training=False).item() == 3.0
    assert layer.eval()([1.0]).item() == 3.0


def test_freezing(block):
    block.trainable = False
    assert block.trainable_parameters() == []
    block(np.ones((2, 4)))
    assert not block(np.ones((2, 4))).requires_grad
    block.trainable = True
    assert len(block.trainable_parameters()) == len(NAMES) - 1
    assert Dense(3, trainable=False)(np.ones((2, 2))).requires_grad is False


def test_zero_grad(block):
    ops.sum(block(np.ones((2, 4)))).backward()
    assert all(parameter.grad is not None for parameter in block.parameters())
    block.zero_grad()
    assert all(parameter.grad is None for parameter in block.parameters())


def test_one_dtype_for_a_layer_and_those_inside():
    block = Block(dtype="float64")
    block.scale = qn.Parameter(np.ones(1))
    assert block(np.ones((2, 4), np.float32)).dtype == np.float64
    assert {p.dtype.name for p in block.parameters()} == {"float64"}

    class Wrapper(Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, x):
            return ops.add(self.inner(x), x)

    assert Wrapper(Dense(4, dtype="float64"))(np.ones((2, 4))).dtype == np.float64
    assert Wrapper(Dense(4))(np.ones((2, 4))).dtype == np.float32
    assert Wrapper(Dense(4))(qn.tensor(np.ones((2, 4)))).dtype == np.float32


def test_the_default_dtype_is_used():
    qn.set_default_dtype("float64")
    try:
        assert Dense(2)([[1, 2]]).dtype == np.float64
    finally:
        qn.set_default_dtype("float32")


def test_integers_pass_through_containers_to_embeddings():
    class Encoder(Layer):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(5, 2)

        def call(self, ids):
            return self.table(ids)

    assert Encoder()([[1, 2]]).shape == (1, 2, 2)


def test_gradients_go_through_a_change_of_dtype():
    x = qn.tensor(np.ones((2, 3)), requires_grad=True)
    ops.sum(Dense(2)(x)).backward()
    assert x.grad.dtype == np.float64


def test_several_inputs_and_keywords():
    class Mix(Layer):
        def call(self, a, b=None, factor=1.0):
            return ops.multiply(a if b is None else ops.add(a, b), factor)

    layer = Mix()
    assert layer([1.0], np.array([2.0])).item() == 3.0
    assert layer([1.0], None, factor=4.0).item() == 4.0

    class Named(Layer):
        def call(self, inputs):
            return ops.add(inputs["a"], inputs["b"])

    assert Named()({"a": np.array([1]), "b": np.array([2.0])}).item() == 3.0


def test_add_weight():
    layer = Layer(name="mine")
    weight = layer.add_weight("w", (2, 3), "ones", regularizer="l1", constraint="non_neg")
    assert weight.name == "mine.w"
    assert weight.trainable
    assert weight.shape == (2, 3)
    assert isinstance(layer.add_weight("b", (2,), "zeros", trainable=False), Buffer)
    own = layer.add_weight("own", (2,), lambda shape, dtype: np.full(shape, 7, dtype))
    assert own.numpy().tolist() == [7, 7]
    with pytest.raises(ValueError, match=r"weight 'w' would have shape \(None, 3\)"):
        layer.add_weight("w", (None, 3))
    with pytest.raises(ValueError, match=r"expected shape \(2,\) from the initializer of 'w', got \(3,\)"):
        layer.add_weight("w", (2,), lambda shape, dtype: np.zeros(3))


def test_names():
    qn.naming.reset_names()
    assert [Dense(1).name, Dense(1).name, layers.Conv2D(1, 1).name] == ["dense", "dense_1", "conv2d"]
    assert Dense(1, name="head").label == "Dense 'head'"
    assert repr(Dense(1, name="head", activation="relu")) == "<Dense 'head' units=1 activation='relu'>"


def test_errors_say_which_layers_were_being_called(block):
    with pytest.raises(ValueError, match="got") as caught:
        block(np.ones((2, 7)))
    notes = caught.value.__notes__
    assert notes[0].startswith("in Dense 'dense")
    assert "called with (2, 7)" in notes[0]
    assert notes[1].startswith("in Block 'block")


def test_forgotten_parts_are_told():
    class NoInit(Layer):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match=r"NoInit.__init__ must call super\(\).__init__\(\) first"):
        NoInit()([1.0])
    with pytest.raises(NotImplementedError, match=r"Layer 'layer.*': define call"):
        Layer()([1.0])


def test_a_copy_is_independent(block):
    other = copy.deepcopy(block)
    other.scale.data[:] = 9
    assert block.scale.item() == 2.0
    assert list(other.state_dict()) == NAMES


def test_default_output_shape_runs_the_layer(block):
    assert block.compute_output_shape((None, 4)) == (None, 3)
    assert block.training
    with pytest.raises(ValueError, match="only the first axis may be None"):
        block.compute_output_shape((None, None))
