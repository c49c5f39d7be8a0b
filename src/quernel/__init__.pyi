# The typed twin of the tables in __init__.py; tests/test_public.py holds the two together.
from quernel import activations as activations
from quernel import backend as backend
from quernel import callbacks as callbacks
from quernel import constraints as constraints
from quernel import data as data
from quernel import datasets as datasets
from quernel import initializers as initializers
from quernel import layers as layers
from quernel import losses as losses
from quernel import metrics as metrics
from quernel import ops as ops
from quernel import optimizers as optimizers
from quernel import random as random
from quernel import regularizers as regularizers
from quernel import saving as saving
from quernel import schedules as schedules
from quernel import testing as testing
from quernel import training as training
from quernel.function import Function as Function
from quernel.autograd import is_grad_enabled as is_grad_enabled
from quernel.autograd import no_grad as no_grad
from quernel.backend import use_backend as use_backend
from quernel.info import info as info
from quernel.layers.base import Layer as Layer
from quernel.saving import load_tensors as load_tensors
from quernel.saving import save_tensors as save_tensors
from quernel.ops import Parameter as Parameter
from quernel.ops import Tensor as Tensor
from quernel.ops import arange as arange
from quernel.ops import as_tensor as as_tensor
from quernel.ops import full as full
from quernel.ops import get_default_dtype as get_default_dtype
from quernel.ops import ones as ones
from quernel.ops import ones_like as ones_like
from quernel.ops import set_default_dtype as set_default_dtype
from quernel.ops import tensor as tensor
from quernel.ops import zeros as zeros
from quernel.ops import zeros_like as zeros_like
from quernel.training.history import History as History
from quernel.training.model import Model as Model
from quernel.training.sequential import Sequential as Sequential

__version__: str
__all__: list[str]
