"""The 1,797 handwritten digits that come with quernel."""

from __future__ import annotations

import os

import numpy as np

from quernel.datasets.idx import read_idx

# Pixels count the dark points of a 4 x 4 block of the original scan.
DARKEST = 16
# Of each class, one image in five is a test image: 355 of 1,797.
TEST_EVERY = 5


def load_digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The handwritten digits 0-9 of the UCI "Optical Recognition" set: 1,797 real images of 8 x 8 pixels.

    They are part of the package: nothing is downloaded. The split is fixed and stratified: in the order of
    the original file, every fifth image of each class is a test image.

    Returns
    -------
    ``(x_train, y_train), (x_test, y_test)`` : x float32 (1442, 8, 8, 1) and (355, 8, 8, 1), 0 to 1; y int64.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998 (its test part, as distributed with scikit-learn); licence in
    ``datasets/LICENSE.digits.txt``.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, y_test.shape
    ((1442, 8, 8, 1), (355,))
    """
    folder = os.path.dirname(__file__)
    images = read_idx(os.path.join(folder, "digits-images-idx3-ubyte.gz"), 3)
    x = (images / np.float32(DARKEST))[..., None]
    y = read_idx(os.path.join(folder, "digits-labels-idx1-ubyte.gz"), 1).astype(np.int64)
    test = np.zeros(len(y), bool)
    for label in range(10):
        test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return (x[~test], y[~test]), (x[test], y[test])
