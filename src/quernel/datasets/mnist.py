"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28 x 28 pixels, from their original files."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

import numpy as np

from quernel.datasets.idx import read_idx
from quernel.saving import replace_file

Split = tuple[np.ndarray, np.ndarray]

SIDE = 28
CLASSES = 10
TIMEOUT_SECONDS = 30


class _File(NamedTuple):
    name: str
    bytes: int
    sha256: str


class _Set(NamedTuple):
    title: str
    folder: str
    mirrors: tuple[str, ...]
    files: tuple[_File, _File, _File, _File]  # train images, train labels, test images, test labels


FASHION_MNIST = _Set(
    "Fashion-MNIST",
    "fashion-mnist",
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    (
        _File(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        _File(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        _File(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        _File(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)
MNIST = _Set(
    "MNIST",
    "mnist",
    (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    (
        _File(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        _File(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        _File(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        _File(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)


def load_mnist(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """MNIST, handwritten digits: ``(x_train, y_train), (x_test, y_test)``.

    The four original ``.gz`` files are taken from the first of: the folder ``path``; the folder
    ``QUERNEL_DATA`` or ``mnist`` in it; the cache (``QUERNEL_CACHE``, else ``~/.cache/quernel``); the
    network, into the cache, with a SHA-256 check. In a folder of yours any files of the same format and names
    will do.

    Returns
    -------
    x float32 (60000, 28, 28, 1) and (10000, 28, 28, 1) in [0, 1] (188 MB and 31 MB), y int64, 0 to 9.

    Raises
    ------
    FileNotFoundError : ``path`` was given and lacks a file.
    ValueError : a file is damaged or not what its name says.
    OSError : the files are nowhere and cannot be downloaded; the message says where they may be put.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits"; CC BY-SA 3.0.
    """
    return _load(MNIST, path)


def load_fashion_mnist(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Fashion-MNIST, articles of clothing: ``(x_train, y_train), (x_test, y_test)``.

    Classes 0-9: T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot. Where
    the files come from (folder ``fashion-mnist``), what is returned and what is raised: see `load_mnist`.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747; MIT licence.
    """
    return _load(FASHION_MNIST, path)


def _load(data: _Set, path: str | os.PathLike[str] | None) -> tuple[Split, Split]:
    folder = _find(data, path)
    train_images, train_labels, test_images, test_labels = (
        os.path.join(folder, file.name) for file in data.files
    )
    return _read_split(train_images, train_labels), _read_split(test_images, test_labels)


def _read_split(images_path: str, labels_path: str) -> Split:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images.shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"{images_path!r}: expected images of {SIDE} x {SIDE} pixels, got {images.shape[1:]}"
        )
    if len(images) != len(labels):
        raise ValueError(f"{images_path!r} has {len(images)} images, {labels_path!r} {len(labels)} labels")
    if labels.max(initial=0) >= CLASSES:
        raise ValueError(f"{labels_path!r}: labels run from 0 to {CLASSES - 1}, got {labels.max()}")
    return (images / np.float32(255))[..., None], labels.astype(np.int64)


def _find(data: _Set, path: str | os.PathLike[str] | None) -> str:
    """The folder that holds the four files, downloading them as a last resort."""
    if path is not None:
        missing = _missing(data, os.fspath(path))
        if missing:
            raise FileNotFoundError(
                f"{os.fspath(path)!r} has no {missing[0]!r}; {data.title} needs {_names(data)}"
            )
        return os.fspath(path)
    given = os.environ.get("QUERNEL_DATA")
    if given:
        for folder in (os.path.join(given, data.folder), given):
            if not _missing(data, folder):
                return folder
    cache = os.environ.get("QUERNEL_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "quernel")
    folder = os.path.join(cache, data.folder)
    for file in data.files:
        target = os.path.join(folder, file.name)
        if not _is_genuine(target, file):
            _download(data, file, target)
    return folder


def _missing(data: _Set, folder: str) -> list[str]:
    return [file.name for file in data.files if not os.path.isfile(os.path.join(folder, file.name))]


def _names(data: _Set) -> str:
    return ", ".join(file.name for file in data.files)


def _is_genuine(path: str, file: _File) -> bool:
    if not os.path.isfile(path) or os.path.getsize(path) != file.bytes:
        return False
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def _download(data: _Set, file: _File, target: str) -> None:
    import urllib.request  # slow to load, and only a download needs it

    os.makedirs(os.path.dirname(target), exist_ok=True)
    failures = []
    for mirror in data.mirrors:
        try:
            request = urllib.request.Request(mirror + file.name, headers={"User-Agent": "quernel"})
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                content = answer.read(
                    file.bytes + 1
                )  # one more than it should be: enough to know it is wrong
            found = hashlib.sha256(content).hexdigest()
            if found != file.sha256:
                raise OSError(f"its {len(content)} bytes have SHA-256 {found}, expected {file.sha256}")
        except OSError as error:  # includes every urllib error and time-outs
            failures.append(f"{mirror}{file.name}: {error}")
            continue
        with replace_file(target) as output:
            output.write(content)
        return
    tried = "".join(f"\n  {failure}" for failure in failures)
    raise OSError(
        f"{data.title} is not on this machine and could not be downloaded:{tried}\n"
        f"Put {_names(data)} into a folder and pass it as path=, set QUERNEL_DATA to it, "
        f"or put them into {os.path.dirname(target)!r}."
    )
