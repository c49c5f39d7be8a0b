"""Layers: weights and one call into `quernel.ops`. Keras's names and arguments."""

from quernel.layers.base import Layer
from quernel.layers.bidirectional import Bidirectional
from quernel.layers.conv import Conv2D
from quernel.layers.core import Activation, Dense, Dropout, Flatten, Input, InputLayer, Reshape
from quernel.layers.embedding import Embedding
from quernel.layers.merge import Add, Concatenate
from quernel.layers.normalization import BatchNormalization
from quernel.layers.pooling import (
    AveragePooling2D,
    AvgPool2D,
    GlobalAveragePool2D,
    GlobalAveragePooling2D,
    MaxPool2D,
    MaxPooling2D,
)
from quernel.layers.recurrent import LSTM
from quernel.layers.state import Buffer

__all__ = [
    "LSTM",
    "Activation",
    "Add",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Bidirectional",
    "Buffer",
    "Concatenate",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePool2D",
    "GlobalAveragePooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPool2D",
    "MaxPooling2D",
    "Reshape",
]
