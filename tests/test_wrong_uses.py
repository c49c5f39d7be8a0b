"""Wrong uses that people make: each is told what was received, what was expected, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quernel as qn
from quernel import callbacks, data, datasets, layers, losses, ops, optimizers


class Bench:
    """What the wrong uses are made with."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        self.images = rng.normal(size=(12, 8, 8, 3)).astype(np.float32)
        self.labels = rng.integers(0, 10, 12)
        self.labels[0] = 9  # so that adding 1 leaves the range
        self.rows = self.images.reshape(12, 192)
        self.scores = qn.tensor(rng.normal(size=(12, 10)).astype(np.float32), requires_grad=True)

    def model(self, classes: int = 10) -> qn.Model:
        model = qn.Sequential([layers.Flatten(), layers.Dense(classes)])
        model.compile(optimizer="adam", loss=losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def built(self, classes: int = 10) -> qn.Model:
        model = self.model(classes)
        model.build((None, 8, 8, 3))
        return model

    def fit(self, x: Any = None, y: Any = None, **more: Any) -> None:
        x, y = self.images if x is None else x, self.labels if y is None else y
        self.model().fit(x, y, **{"verbose": 0, **more})

    def saved(self, content: bytes | None = None, cut: int | None = None) -> Path:
        """A file of weights; or of other content; or cut short."""
        path = self.folder / "weights.safetensors"
        if content is None:
            self.built().save(path)
            content = path.read_bytes()
        path.write_bytes(content if cut is None else content[:cut])
        return path

    def twice(self, layer: layers.Layer, first: Any, second: Any) -> None:
        layer(first)
        layer(second)

    def backward_twice(self) -> None:
        loss = (self.scores * self.scores).sum()
        loss.backward()
        loss.backward()


@dataclass(frozen=True)
class Wrong:
    """A wrong use, the exception it ends in, and parts of the message: received, expected, what to do."""

    name: str
    use: Callable[[Bench], Any]
    error: type[Exception]
    says: tuple[str, ...]


WRONG = [
    # Shapes and ranks
    Wrong("one image without its batch", lambda b: layers.Conv2D(4, 3)(b.images[0]), ValueError,
          ("Conv2D 'conv2d", "8, 3)", "(batch, height, width, channels)", "channels last")),
    Wrong("grey images without a channel axis", lambda b: layers.Conv2D(4, 3)(b.images[..., 0]), ValueError,
          ("8, 8)", "(batch, height, width, channels)", "x[..., None]")),
    Wrong("other channels than at first", lambda b: b.twice(layers.Conv2D(4, 3), b.images, b.images[..., :2]),
          ValueError, ("got (12, 8, 8, 2)", "(batch, height, width, 3)")),
    Wrong("other features than at first", lambda b: b.twice(layers.Dense(3), b.rows, b.rows[:, :7]),
    ValueError,
          ("got (12, 7)", "(batch, ..., 192)", "flatten images first")),
    Wrong("a table for a recurrent layer", lambda b: layers.LSTM(5)(b.rows), ValueError,
          ("got (12, 192)", "(batch, steps, ")),
    Wrong("a window larger than the image", lambda b: layers.Conv2D(4, 9)(b.images), ValueError,
          ("got 8 x 8", "at least 9 pixels", "padding='same'")),
    Wrong("one pooling too many", lambda b: layers.MaxPool2D(9)(b.images), ValueError,
          ("got 8 x 8", "at least 9 pixels", "fewer pooling layers")),
    Wrong("products that do not fit", lambda b: ops.matmul(b.rows, b.rows), ValueError,
          ("got (12, 192) and (12, 192)", "(..., M, K) and (..., K, N)", "Transpose or reshape")),
    Wrong("sums that do not broadcast", lambda b: qn.tensor([1.0, 2.0]) + qn.tensor([1.0, 2.0, 3.0]),
    ValueError,
          ("(2,) and (3,)", "equal or 1", "Reshape or transpose")),
    Wrong("a shape of another size", lambda b: qn.tensor(b.rows).reshape(5, 5), ValueError,
          ("got (5, 5)", "2304 elements of (12, 192)", "multiply to 2304")),
    Wrong("an axis that is not there", lambda b: qn.tensor(b.rows).sum(axis=2), IndexError,
          ("axis 2", "2 axes", "-2 to 1")),
    Wrong("an index outside", lambda b: qn.tensor(b.rows)[12], IndexError,
    ("index 12", "(12, 192)", "size 12")),
    Wrong("lists of unequal lengths", lambda b: qn.tensor([[1, 2], [3]]), ValueError,
          ("got [[1, 2], [3]]", "equal lengths")),
    Wrong("joining unequal shapes", lambda b: ops.concatenate([b.rows, b.rows[:5]], axis=1), ValueError,
          ("(12, 192), (5, 192)", "equal in all axes but 1")),
    Wrong("adding layers of unequal shapes", lambda b: layers.Add()([b.images, b.images[..., :2]]),
    ValueError,
          ("(12, 8, 8, 2)", "one shape", "Add 'add")),
    Wrong("reshaping to another size", lambda b: layers.Reshape((5, 5))(b.images), ValueError,
          ("192 values", "5, 5)")),
    # Arguments of layers
    Wrong("no units", lambda b: layers.Dense(0), ValueError, ("got 0", "at least 1", "units")),
    Wrong("negative units", lambda b: layers.LSTM(-3), ValueError, ("got -3", "at least 1", "units")),
    Wrong("units as text", lambda b: layers.Dense("10"), ValueError, ("got '10'", "integer", "units")),
    Wrong("a stride of 0", lambda b: layers.Conv2D(4, 3, strides=0), ValueError,
    ("got 0", "from 1 to", "strides")),
    Wrong("three sizes in two dimensions", lambda b: layers.Conv2D(4, (3, 3, 3)), ValueError,
          ("got (3, 3, 3)", "one or two integers", "kernel_size")),
    Wrong("a padding of other frameworks", lambda b: layers.Conv2D(4, 3, padding="reflect"), ValueError,
          ("got 'reflect'", "'valid', 'same'")),
    Wrong("groups that do not divide", lambda b: layers.Conv2D(6, 3, groups=2)(b.images), ValueError,
          ("3 channels", "2 equal groups")),
    Wrong("dropout of everything and more", lambda b: layers.Dropout(1.5), ValueError,
    ("got 1.5", "[0, 1]", "rate")),
    Wrong("a misspelt activation", lambda b: layers.Dense(3, activation="rleu"), ValueError,
          ("'rleu'", "did you mean 'relu'?", "Known:")),
    Wrong("a misspelt initializer", lambda b: layers.Dense(3, kernel_initializer="he_normale"), ValueError,
          ("'he_normale'", "did you mean 'he_normal'?", "Known:")),
    Wrong("a misspelt argument", lambda b: layers.Dense(3, activaton="relu"), TypeError,
          ("'activaton'", "did you mean 'activation'?", "Known:")),
    Wrong("a class instead of a layer", lambda b: qn.Sequential([layers.Dense]), TypeError,
          ("got <class", "expected a layer", "Dense(...)")),
    # Labels and losses
    Wrong("labels from 1", lambda b: b.fit(y=b.labels + 1), ValueError,
          ("label 10", "run from 0 to 9", "subtract 1")),
    Wrong("negative labels", lambda b: b.fit(y=-b.labels - 1), ValueError,
    ("label -", "run from 0 to 9", "ignore_")),
    Wrong("labels as floats", lambda b: b.fit(y=b.labels + 0.5), TypeError,
          ("got float", "integer labels", "astype('int64')")),
    Wrong("one-hot labels for a sparse loss", lambda b: b.fit(y=np.eye(10)[b.labels]), ValueError,
          ("got (12, 10)", "(12,)", "categorical_crossentropy")),
    Wrong("class numbers for a one-hot loss",
          lambda b: losses.categorical_crossentropy(b.labels, b.scores, from_logits=True), ValueError,
          ("got (12,)", "(12, 10)", "sparse_categorical_crossentropy")),
    Wrong("softmax before from_logits",
          lambda b: losses.sparse_categorical_crossentropy(b.labels, ops.softmax(b.scores), from_logits=True),
          ValueError, ("comes from a softmax", "from_logits=True", "drop the softmax")),
    Wrong("logits without from_logits", lambda b: losses.sparse_categorical_crossentropy(b.labels, b.scores),
    ValueError,
          ("got values from -", "[0, 1]", "from_logits=True")),
    Wrong("classes for a binary loss", lambda b: losses.binary_crossentropy(b.labels, b.labels / 10),
    ValueError,
          ("from 0 to 9", "[0, 1]", "sparse_categorical_crossentropy")),
    Wrong("targets of another shape", lambda b: losses.mean_squared_error(b.labels, b.scores), ValueError,
          ("got (12,)", "y_pred's shape (12, 10)")),
    Wrong("an unknown reduction", lambda b: losses.MeanSquaredError(reduction="avg"), ValueError,
          ("'avg'", "sum_over_batch_size")),
    Wrong("words beyond the vocabulary", lambda b: layers.Embedding(10, 4)(np.array([[1, 10]])), IndexError,
          ("index 10", "run from 0 to 9", "input_dim")),
    Wrong("indices as floats", lambda b: layers.Embedding(10, 4)(np.array([[0.5]])), TypeError,
          ("got float", "integer indices", "astype('int64')")),
    # Optimizers
    Wrong("an optimizer before build",
          lambda b: optimizers.Adam(parameters=qn.Sequential([layers.Dense(3)]).parameters()), ValueError,
          ("no weights yet", "first input", "build(input_shape)")),
    Wrong("an optimizer without parameters", lambda b: optimizers.Adam().step(), ValueError,
          ("no parameters", "parameters=model.parameters()")),
    Wrong("a negative learning rate", lambda b: optimizers.Adam(-1e-3), ValueError,
    ("got -0.001", "at least 0")),
    Wrong("a momentum above 1", lambda b: optimizers.SGD(0.1, momentum=1.5), ValueError,
          ("got 1.5", "at least 0 and below 1")),
    Wrong("two ways of clipping", lambda b: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), ValueError,
          ("clipnorm and clipvalue", "one way of clipping")),
    Wrong("numbers as parameters", lambda b: optimizers.Adam(parameters=[1, 2]), TypeError,
          ("got int", "Parameters", "qn.Parameter(x)")),
    Wrong("an unknown optimizer", lambda b: b.model().compile(optimizer="adm", loss="mse"), ValueError,
          ("'adm'", "expected one of", "'adam'")),
    Wrong("an unknown loss", lambda b: b.model().compile(loss="crossentropy"), ValueError,
          ("'crossentropy'", "did you mean", "Known:")),
    Wrong("an unknown metric", lambda b: b.model().compile(loss="mse", metrics=["acuracy"]), ValueError,
          ("'acuracy'", "did you mean 'accuracy'?")),
    # Training
    Wrong("fit before compile", lambda b: qn.Sequential([layers.Dense(3)]).fit(b.rows, b.labels), ValueError,
          ("fit needs a compiled model", "model.compile(optimizer, loss)")),
    Wrong("NaN in the input", lambda b: b.fit(x=b.images * np.nan), ValueError,
          ("nan", "row 0", "np.nan_to_num")),
    Wrong("an empty batch", lambda b: b.fit(x=b.images[:0], y=b.labels[:0]), ValueError,
          ("(0, 8, 8, 3)", "no samples", "at least one row")),
    Wrong("fewer labels than inputs", lambda b: b.fit(y=b.labels[:7]), ValueError,
          ("x has 12, y has 7", "same number of rows")),
    Wrong("no labels", lambda b: b.model().fit(b.images), ValueError, ("y is missing", "pass the targets")),
    Wrong("labels as text", lambda b: b.fit(y=["cat"] * 12), TypeError,
    ("<U3", "expected numbers", "np.asarray")),
    Wrong("a batch size of 0", lambda b: b.fit(batch_size=0), ValueError,
    ("got 0", "at least 1", "batch_size")),
    Wrong("a validation split in percent", lambda b: b.fit(validation_split=10), ValueError,
          ("got 10", "between 0 and 1", "0.1")),
    Wrong("watching what is not measured", lambda b: b.fit(callbacks=[callbacks.EarlyStopping(monitor="val_los")]),
          ValueError, ("'val_los'", "gives loss", "validation_split")),
    Wrong("a batch of 1 in batch normalisation", lambda b: layers.BatchNormalization()(b.rows[:1]),
    ValueError,
          ("got shape (1, 192)", "at least two values", "eval()")),
    Wrong("weights for too few samples", lambda b: b.fit(sample_weight=np.ones(3)), ValueError,
          ("sample_weight has 3", "same number of rows")),
    Wrong("images of another size to predict", lambda b: b.built().predict(b.images[:, :4]), ValueError,
          ("got (12, 96)", "(batch, ..., 192)")),
    Wrong("another batch size for carried states",
          lambda b: b.twice(layers.LSTM(5, stateful=True), b.rows.reshape(12, 8, 24),
          b.rows.reshape(12, 8, 24)[:5]),
          ValueError, ("(12, 5)", "(5, 5)", "reset_state()")),
    Wrong("lengths beyond the sequence", lambda b: layers.LSTM(5)(b.rows.reshape(12, 8, 24),
    lengths=np.full(12, 9)),
          ValueError, ("got 9", "from 0 to 8")),
    # Gradients
    Wrong("backward twice", lambda b: b.backward_twice(), RuntimeError,
          ("walked back before", "forward pass again", "retain_graph=True")),
    Wrong("backward from many numbers", lambda b: (b.scores * 2).backward(), ValueError,
          ("got shape (12, 10)", "one element", ".mean() or .sum()")),
    Wrong("backward without a graph", lambda b: qn.tensor([1.0]).sum().backward(), RuntimeError,
          ("no graph", "requires a gradient", "no_grad()")),
    Wrong("gradients of integers", lambda b: qn.tensor([1, 2], requires_grad=True), TypeError,
          ("int64", "float tensors", "astype('float32')")),
    Wrong("many truth values", lambda b: bool(qn.tensor([1.0, 2.0])), ValueError,
          ("got shape (2,)", "one element", ".any(), .all()")),
    Wrong("numbers as text", lambda b: qn.tensor("abc"), TypeError,
    ("'abc'", "expected numbers", "np.asarray")),
    # Files
    Wrong("weights of another model", lambda b: b.built(11).load_weights(b.saved()), ValueError,
          ("got (192, 10)", "expected (192, 11)", "nothing was loaded", "arguments it was saved with")),
    Wrong("a truncated file", lambda b: b.built().load_weights(b.saved(cut=2000)), ValueError,
          ("weights.safetensors", "not a valid safetensors file", "truncated")),
    Wrong("a forged file", lambda b: b.built().load_weights(b.saved(content=b"\xff" * 64)), ValueError,
          ("header claims 18446744073709551615 bytes", "not a valid safetensors file")),
    Wrong("a pickle", lambda b: b.built().load_weights(b.saved(content=b"\x80\x04K\x01.")), ValueError,
          ("not a valid safetensors file", "another format")),
    Wrong("a file that is not there", lambda b: b.built().load_weights(b.folder / "none.safetensors"),
          FileNotFoundError, ("none.safetensors",)),
    Wrong("a data set that is not there", lambda b: datasets.load_mnist(b.folder), FileNotFoundError,
          ("train-images-idx3-ubyte.gz", "MNIST needs")),
    # The rest
    Wrong("no threads", lambda b: qn.set_num_threads(0), ValueError, ("got 0", "1 to 1024")),
    Wrong("a backend that does not exist", lambda b: qn.use_backend("cuda"), ValueError,
          ("'cuda'", "'kernels', 'reference'")),
    Wrong("half precision", lambda b: qn.set_default_dtype("float16"), TypeError,
          ("'float16'", "'float32', 'float64'")),
    Wrong("batches of unequal data", lambda b: list(data.batches(b.images, b.labels[:3], 4)), ValueError,
          ("x has 12, y has 3", "same number of rows")),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=[w.name for w in WRONG])
def test_wrong_use_is_explained(wrong, tmp_path):
    bench = Bench(tmp_path)
    with pytest.raises(wrong.error) as caught:
        wrong.use(bench)
    message = str(caught.value)
    missing = [part for part in wrong.says if part not in message]
    assert not missing, f"{missing} not in: {message}"


def test_there_are_at_least_fifty():
    assert len({wrong.name for wrong in WRONG}) == len(WRONG) >= 50


@pytest.mark.parametrize("use", [lambda b: b.fit(y=b.labels + 1), lambda b: b.fit(x=b.images * np.nan)])
def test_a_refused_call_leaves_the_weights_alone(use, tmp_path):
    bench = Bench(tmp_path)
    model = bench.built()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    bench.model = lambda classes=10: model
    with pytest.raises(ValueError, match=r"label|nan"):
        use(bench)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
