"""The command ``quernel``: demo, train, bench, info."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

DEMO_EPOCHS = 15
DEMO_BATCH = 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 1 after an error that it names."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, TypeError, OSError) as error:
        print(f"quernel {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    from quernel import __version__

    parser = argparse.ArgumentParser(prog="quernel", description="Deep learning on a CPU.")
    parser.add_argument("--version", action="version", version=f"quernel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    demo = commands.add_parser("demo", help="train a CNN on handwritten digits, in seconds")
    demo.add_argument("--json", action="store_true", help="print one line of JSON and nothing else")
    demo.add_argument("--epochs", type=int, default=DEMO_EPOCHS, help=f"default {DEMO_EPOCHS}")
    demo.add_argument("--seed", type=int, default=0, help="of all random numbers; default 0")
    demo.add_argument(
        "--out", metavar="DIR", help="where curves.png goes; default: here, with --json nowhere"
    )
    demo.set_defaults(run=_demo)

    train = commands.add_parser("train", help="train a network on a known dataset")
    train.add_argument("--dataset", choices=("fashion_mnist", "mnist", "digits"), default="fashion_mnist")
    train.add_argument("--model", choices=("cnn", "mlp"), default="cnn")
    train.add_argument("--epochs", type=int, default=5, help="default 5")
    train.add_argument("--batch-size", type=int, default=128, help="default 128")
    train.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam; default 0.001")
    train.add_argument("--seed", type=int, default=0, help="of all random numbers; default 0")
    train.add_argument("--data", metavar="DIR", help="folder with the dataset's .gz files")
    train.add_argument("--save", metavar="FILE", help="write the trained model to this .safetensors file")
    train.set_defaults(run=_train)

    bench = commands.add_parser("bench", help="time kernels against NumPy, and PyTorch if it is installed")
    bench.add_argument("--threads", type=int, help="default: as quernel info says")
    bench.add_argument("--json", action="store_true", help="print rows as JSON instead of a table")
    bench.set_defaults(run=_bench)

    info = commands.add_parser("info", help="version, instruction set, threads and why")
    info.add_argument("--json", action="store_true", help="print one line of JSON")
    info.set_defaults(run=_info)
    return parser


def _demo(options: argparse.Namespace) -> None:
    from quernel import datasets, networks, random, runtime

    if options.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, got {options.epochs}")
    random.seed(options.seed)
    (x, y), (x_test, y_test) = datasets.load_digits()
    model = networks.digits_cnn()
    _compile(model, 1e-3)
    model.build((None, *x.shape[1:]))
    if not options.json:
        _print_head(f"{len(x):,} handwritten digits of 8 x 8 pixels, {len(x_test)} more for the test")
        model.summary()
    start = time.perf_counter()
    history = model.fit(
        x,
        y,
        batch_size=DEMO_BATCH,
        epochs=options.epochs,
        validation_data=(x_test, y_test),
        verbose=0 if options.json else "auto",
    )
    seconds = time.perf_counter() - start
    predicted = model.predict(x_test, verbose=0).argmax(axis=1)
    accuracy = float((predicted == y_test).mean())
    if options.json:
        found = runtime.info()
        result = {
            "accuracy": round(accuracy, 6),
            "seconds": round(seconds, 3),
            "samples_per_s": round(len(x) * options.epochs / seconds, 1),
            "threads": found["threads"],
            "isa": found["isa"],
        }
        if options.out is not None:
            _plot(history, options.out)
        print(json.dumps(result))
        return
    print(f"\nTest accuracy {accuracy:.4f} ({(predicted != y_test).sum()} of {len(y_test)} wrong)\n")
    print(confusion_table(y_test, predicted))
    print("\n" + _plot(history, options.out or "."))


def _train(options: argparse.Namespace) -> None:
    from quernel import datasets, networks, random

    if options.dataset == "digits" and options.data is not None:
        raise ValueError("--data is for mnist and fashion_mnist; the digits are part of the package")
    random.seed(options.seed)
    if options.dataset == "digits":
        train, test = datasets.load_digits()
    elif options.dataset == "mnist":
        train, test = datasets.load_mnist(options.data)
    else:
        train, test = datasets.load_fashion_mnist(options.data)
    cnn = networks.digits_cnn if options.dataset == "digits" else networks.image_cnn
    model = cnn() if options.model == "cnn" else networks.mlp()
    _compile(model, options.learning_rate)
    model.build((None, *train[0].shape[1:]))
    _print_head(f"{options.dataset}: {len(train[0]):,} images, {len(test[0]):,} more for the test")
    model.summary()
    model.fit(*train, batch_size=options.batch_size, epochs=options.epochs, validation_data=test)
    loss, accuracy = model.evaluate(*test, verbose=0)
    print(f"Test loss {loss:.4f}, accuracy {accuracy:.4f}")
    if options.save:
        model.save(options.save)
        print(f"Saved to {options.save}")


def _bench(options: argparse.Namespace) -> None:
    from quernel import bench, runtime

    if options.threads is not None:
        runtime.set_num_threads(options.threads)
    rows = bench.run(report=None if options.json else print)
    if options.json:
        print(json.dumps(rows))


def _info(options: argparse.Namespace) -> None:
    from quernel import runtime

    found = runtime.info()
    if options.json:
        print(json.dumps(found))
        return
    width = max(map(len, found))
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {entry}" for key, entry in value.items())
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        print(f"{name:{width}}  {value}")


def _compile(model: Any, learning_rate: float) -> None:
    from quernel import losses, optimizers

    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(learning_rate), loss, metrics=["accuracy"])


def _print_head(text: str) -> None:
    from quernel import runtime

    found = runtime.info()
    kernels = f"{found['isa']}, {found['threads']} threads"
    print(f"quernel {found['version']} ({kernels if found['backend'] == 'kernels' else 'NumPy reference'})")
    print(text)


def _plot(history: Any, folder: str) -> str:
    """Write curves.png if matplotlib is there; returns what to tell."""
    if importlib.util.find_spec("matplotlib") is None:
        return "No curves.png: matplotlib is not installed (pip install quernel[plot])"
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "curves.png")
    history.plot(path)
    return f"Learning curves: {path}"


def confusion_table(labels: np.ndarray, predicted: np.ndarray) -> str:
    """How often images of each class (rows) were taken for each class (columns); 0 is a dot."""
    classes = int(max(labels.max(), predicted.max())) + 1
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    lines = ["true \\ predicted " + "".join(f"{label:5}" for label in range(classes))]
    for label, row in enumerate(counts):
        lines.append(f"{label:16} " + "".join(f"{count or '.':>5}" for count in row))
    return "\n".join(lines)
