"""Known datasets as NumPy arrays: ``(x_train, y_train), (x_test, y_test)``.

Images are float32 in [0, 1], shaped (count, height, width, 1); labels are int64.
"""

from quernel.datasets.digits import load_digits
from quernel.datasets.mnist import load_fashion_mnist, load_mnist

__all__ = ["load_digits", "load_fashion_mnist", "load_mnist"]
