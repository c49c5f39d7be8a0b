"""Training: models, the loop behind `fit`, callbacks, history, progress."""

from quernel.training.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint
from quernel.training.history import History
from quernel.training.model import Model
from quernel.training.sequential import Sequential

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "History", "Model", "ModelCheckpoint", "Sequential"]
