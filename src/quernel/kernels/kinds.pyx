"""Numbers of the activations, as in csrc/kernels.h."""

cdef extern from "kernels.h":
    enum:
        ACT_LINEAR
        ACT_RELU
        ACT_LEAKY_RELU
        ACT_SIGMOID
        ACT_TANH
        ACT_SILU
        ACT_GELU
        ACT_GELU_TANH
        ACT_SOFTPLUS
        ACT_ELU

cdef dict KINDS = {
    "linear": ACT_LINEAR,
    "relu": ACT_RELU,
    "leaky_relu": ACT_LEAKY_RELU,
    "sigmoid": ACT_SIGMOID,
    "tanh": ACT_TANH,
    "silu": ACT_SILU,
    "gelu": ACT_GELU,
    "gelu_tanh": ACT_GELU_TANH,
    "softplus": ACT_SOFTPLUS,
    "elu": ACT_ELU,
}


cdef int activation_kind(str name) except -1:
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"unknown activation {name!r}; expected one of {', '.join(KINDS)}")
    return kind
