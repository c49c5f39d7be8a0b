"""A character-level language model: two LSTM layers learn Shakespeare letter by letter, then write some.

    python examples/char_lstm.py --data folder/with/input.txt --epochs 10

The text is read as 32 parallel streams in pieces of 64 characters; the LSTM state is carried from piece to
piece. The first 90 % train, the rest validates; the loss is in nats per character.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

import quernel as qn
from quernel import initializers, layers, losses, ops, optimizers

SOURCE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
STREAMS, STEPS = 32, 64
EMBEDDING, UNITS, DROPOUT = 256, 256, 0.2
LEARNING_RATE, MAX_NORM = 2e-3, 1.0
IGNORED = -1  # a target that is no character: it fills up the last stream of the validation text


class CharModel(qn.Model):
    """Ids (streams, steps) to logits (streams, steps, characters). Carries its state until `reset_state`."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = layers.Embedding(
            characters, EMBEDDING, embeddings_initializer=initializers.RandomNormal(stddev=1.0)
        )
        self.lstm_1 = layers.LSTM(UNITS, return_sequences=True, stateful=True)
        self.dropout = layers.Dropout(DROPOUT)
        self.lstm_2 = layers.LSTM(UNITS, return_sequences=True, stateful=True)
        self.logits = layers.Dense(characters)

    def call(self, ids: qn.Tensor) -> qn.Tensor:
        """Ids to logits."""
        return self.logits(self.lstm_2(self.dropout(self.lstm_1(self.embedding(ids)))))


def find_text(given: str | None) -> Path:
    """The text file: `--data` (a file or its folder), then QUERNEL_DATA, then the cache."""
    cache = os.environ.get("QUERNEL_CACHE") or Path.home() / ".cache" / "quernel"
    roots = [Path(given)] if given else [Path(p) for p in (os.environ.get("QUERNEL_DATA"), cache) if p]
    names = ("", "input.txt", "tinyshakespeare/input.txt", "text/tinyshakespeare/input.txt")
    for path in (root / name for root in roots for name in names):
        if path.is_file():
            return path
    raise SystemExit(
        f"no tinyshakespeare/input.txt in {' or '.join(map(str, roots))}: "
        f"get it from {SOURCE} and pass --data FILE"
    )


def as_streams(ids: np.ndarray, keep_all: bool) -> tuple[np.ndarray, np.ndarray]:
    """Each character and the one to predict from it, (STREAMS, length) each.

    `keep_all` fills the last stream up instead of dropping up to STREAMS - 1 characters.
    """
    predicted = len(ids) - 1
    length = -(-predicted // STREAMS) if keep_all else predicted // STREAMS
    x, y = np.zeros(STREAMS * length, np.int64), np.full(STREAMS * length, IGNORED)
    used = min(predicted, STREAMS * length)
    x[:used], y[:used] = ids[:used], ids[1 : used + 1]
    return x.reshape(STREAMS, length), y.reshape(STREAMS, length)


def train_epoch(model: CharModel, optimizer: optimizers.Adam, x: np.ndarray, y: np.ndarray) -> float:
    """One pass over the streams; the mean loss."""
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.train()
    model.reset_state()
    total = 0.0
    for start in range(0, x.shape[1], STEPS):
        piece = slice(start, start + STEPS)
        loss = loss_of(y[:, piece], model(x[:, piece]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * y[:, piece].size
    return total / y.size


def evaluate(model: CharModel, x: np.ndarray, y: np.ndarray) -> float:
    """The mean loss over all targets but the ignored ones."""
    model.eval()
    model.reset_state()
    total = 0.0
    with qn.no_grad():
        for start in range(0, x.shape[1], STEPS):
            piece = slice(start, start + STEPS)
            loss = ops.softmax_cross_entropy(model(x[:, piece]), y[:, piece], ignore_index=IGNORED)
            total += float(loss.numpy().sum(dtype=np.float64))
    return total / np.count_nonzero(y != IGNORED)


def sample(model: CharModel, first: int, count: int, temperature: float, seed: int) -> np.ndarray:
    """Ids drawn one by one, each fed back in: softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    model.eval()
    model.reset_state()
    ids = [first]
    with qn.no_grad():
        for _ in range(count):
            logits = model(np.array([[ids[-1]]])).numpy()[0, 0].astype(np.float64) / temperature
            odds = np.exp(logits - logits.max())
            ids.append(int(rng.choice(len(odds), p=odds / odds.sum())))
    return np.array(ids[1:])


def main() -> None:
    """Train, report each epoch, write a sample."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="the text file or its folder; default: QUERNEL_DATA, then the cache")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="default: all that this process may use")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--sample", type=int, default=600, help="characters to write at the end")
    parser.add_argument("--save-weights", help="a .safetensors file for the final weights")
    options = parser.parse_args()

    if options.threads:
        qn.set_num_threads(options.threads)
    qn.random.seed(options.seed)
    text = find_text(options.data).read_text(encoding="utf-8")
    characters, ids = np.unique(np.array(list(text)), return_inverse=True)
    cut = len(ids) * 9 // 10
    x_train, y_train = as_streams(ids[:cut], keep_all=False)
    x_val, y_val = as_streams(ids[cut:], keep_all=True)

    model = CharModel(len(characters))
    model(x_train[:, :1])  # makes the weights
    optimizer = optimizers.Adam(LEARNING_RATE, parameters=model.parameters(), global_clipnorm=MAX_NORM)
    print(
        f"{len(text):,} characters, {len(characters)} distinct; {model.count_params():,} weights", flush=True
    )
    for epoch in range(options.epochs):
        begin = time.perf_counter()
        train_loss = train_epoch(model, optimizer, x_train, y_train)
        seconds = time.perf_counter() - begin
        val_loss = evaluate(model, x_val, y_val)
        print(
            f"epoch {epoch + 1:2d}  train {train_loss:.4f}  validation {val_loss:.4f} nats/character  "
            f"{x_train.size / seconds:,.0f} characters/s",
            flush=True,
        )
    first = int(np.searchsorted(characters, "\n"))
    written = sample(model, first, options.sample, options.temperature, options.seed)
    print(f"\n{''.join(characters[written])}")
    if options.save_weights:
        model.save_weights(options.save_weights)


if __name__ == "__main__":
    main()
