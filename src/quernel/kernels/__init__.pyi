from typing import Any

from quernel.kernels import launch as launch
from quernel.kernels import memory as memory
from quernel.kernels import threads as threads

def __getattr__(name: str) -> Any: ...
