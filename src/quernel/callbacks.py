"""Callbacks for `fit`, under the name that Keras gives the module."""

from quernel.training.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ModelCheckpoint"]
