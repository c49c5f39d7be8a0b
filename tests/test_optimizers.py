"""Optimizers against PyTorch's trajectories and formulas written here; groups, clipping, state, wrong use."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quernel as qn
from quernel import optimizers, schedules

# Ten steps on 0.5 |A w - b|^2 in float64, made with torch.optim of PyTorch 2.13.0.
A = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]])
B = np.array([1.0, -2.0, 0.5])
START = [0.5, -1.5]
TRAJECTORIES: list[tuple[str, dict[str, Any], list[float]]] = [
    ("SGD", {"learning_rate": 0.02}, [-0.3986707799020067, 0.0007067860504187141]),
    (
        "SGD",
        {"learning_rate": 0.02, "momentum": 0.9, "weight_decay": 0.1},
        [-0.10476561038684974, 1.9104056608150517],
    ),
    (
        "SGD",
        {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
        [-0.1955264417649539, 1.4495988480526418],
    ),
    ("RMSprop", {"learning_rate": 0.01}, [0.3320268816001204, -1.3292177264657503]),
    (
        "RMSprop",
        {"learning_rate": 0.01, "epsilon": 1e-3, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
        [0.12403766489509865, -1.1067429113691931],
    ),
    ("Adam", {"learning_rate": 0.05}, [0.012204506670896016, -1.0048114899494103]),
    (
        "Adam",
        {"learning_rate": 0.05, "amsgrad": True, "weight_decay": 0.1, "beta_1": 0.8, "beta_2": 0.95},
        [0.017741783121518653, -1.0072440492103902],
    ),
    ("AdamW", {"learning_rate": 0.05, "weight_decay": 0.1}, [-0.0005012434444660457, -0.9432302124788703]),
]


def parameter(values: Any, dtype: Any = np.float64, **options: Any) -> qn.Parameter:
    return qn.Parameter(np.array(values, dtype), **options)


def give_gradient(p: qn.Parameter, values: Any) -> None:
    p.grad = qn.Tensor(np.array(values, p.dtype))


def descend(optimizer: optimizers.Optimizer, w: qn.Parameter, steps: int) -> None:
    for _ in range(steps):
        give_gradient(w, A.T @ (A @ w.numpy() - B))
        optimizer.step()


@pytest.mark.parametrize(("name", "options", "end"), TRAJECTORIES)
def test_pytorch_trajectories(name: str, options: dict[str, Any], end: list[float]) -> None:
    w = parameter(START)
    optimizer = getattr(optimizers, name)(parameters=[w], **options)
    descend(optimizer, w, 10)
    np.testing.assert_allclose(w.numpy(), end, rtol=1e-12)
    single = parameter(START, np.float32)
    optimizer = getattr(optimizers, name)(parameters=[single], **options)
    descend(optimizer, single, 10)
    np.testing.assert_allclose(single.numpy(), end, rtol=2e-5, atol=2e-6)


def test_adam_formula(rng: np.random.Generator) -> None:
    """Algorithm 1 of Kingma and Ba, written as it stands there."""
    shapes = [(3, 4), (5,), (), (1, 2, 3)]
    params = [parameter(rng.standard_normal(s)) for s in shapes]
    expected = [p.numpy().copy() for p in params]
    m, v = [np.zeros(s) for s in shapes], [np.zeros(s) for s in shapes]
    optimizer = optimizers.Adam(0.01, params, epsilon=1e-8)
    for t in range(1, 6):
        for i, p in enumerate(params):
            g = rng.standard_normal(shapes[i])
            give_gradient(p, g)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            m_hat, v_hat = m[i] / (1 - 0.9**t), v[i] / (1 - 0.999**t)
            expected[i] = expected[i] - 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
        optimizer.step()
    for p, want in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.numpy(), want, rtol=1e-12)


def test_both_types_in_one_optimizer() -> None:
    single, double = parameter(START, np.float32), parameter(START, np.float64)
    optimizer = optimizers.SGD(0.5, [single, double], global_clipnorm=1.0)
    give_gradient(single, [3.0, 0.0])
    give_gradient(double, [0.0, 4.0])
    optimizer.step()
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.numpy(), [0.5 - 0.3, -1.5], rtol=1e-6)
    np.testing.assert_allclose(double.numpy(), [0.5, -1.5 - 0.4], rtol=1e-12)


def test_groups_have_options_of_their_own() -> None:
    one, two, three = parameter([1.0]), parameter([1.0]), parameter([1.0])
    optimizer = optimizers.SGD(
        0.5,
        [
            {"params": [one]},
            {"params": [two], "learning_rate": 0.25},
            {"params": [three], "weight_decay": 1.0},
        ],
    )
    for rate, expected in [(0.5, [0.5, 0.75, 0.0]), (1.0, [-0.5, 0.5, -1.0])]:
        optimizer.learning_rate = rate
        for p in (one, two, three):
            give_gradient(p, [1.0])
        optimizer.step()
        np.testing.assert_allclose([p.item() for p in (one, two, three)], expected)
    optimizer.param_groups[1]["learning_rate"] = 0.0
    optimizer.step()
    assert two.item() == 0.5


def test_parameters_without_gradient_and_frozen_ones_stay() -> None:
    moving, still, frozen = parameter([1.0]), parameter([1.0]), parameter([1.0])
    optimizer = optimizers.Adam(0.1, [moving, still, frozen])
    give_gradient(moving, [1.0])
    give_gradient(frozen, [1.0])
    frozen.trainable = False
    optimizer.step()
    assert moving.item() < 1
    assert still.item() == frozen.item() == 1
    # A parameter that joins later gets the bias correction of its own first step, as in PyTorch.
    give_gradient(still, [1.0])
    give_gradient(moving, [1.0])
    optimizer.step()
    np.testing.assert_allclose(still.item(), 0.9, rtol=1e-6)
    optimizer.zero_grad()
    assert moving.grad is None


def test_constraints_are_applied_after_the_step() -> None:
    w = parameter([1.0, 1.0], constraint=qn.constraints.NonNeg())
    optimizer = optimizers.SGD(1.0, [w])
    give_gradient(w, [3.0, 0.5])
    optimizer.step()
    np.testing.assert_array_equal(w.numpy(), [0.0, 0.5])
    w.constraint = lambda weight: weight[:1]
    with pytest.raises(ValueError, match="must keep its shape"):
        optimizer.step()


NORM = math.sqrt(3**2 + 4**2 + 0.5**2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"clipvalue": 1.0}, [1.0, -1.0, 0.5]),
        ({"clipnorm": 1.0}, [0.6, -0.8, 0.5]),
        ({"global_clipnorm": 2.0}, [6 / NORM, -8 / NORM, 1 / NORM]),
        ({"global_clipnorm": 6.0}, [3.0, -4.0, 0.5]),
    ],
)
def test_clipping(options: dict[str, float], expected: list[float]) -> None:
    w, b = parameter([0.0, 0.0]), parameter([0.0])
    optimizer = optimizers.SGD(1.0, [w, b], **options)  # type: ignore[arg-type]
    give_gradient(w, [3.0, -4.0])
    give_gradient(b, [0.5])
    optimizer.step()
    np.testing.assert_allclose([*-w.numpy(), -b.item()], expected, rtol=1e-12)


def test_schedules_as_learning_rates() -> None:
    w = parameter([0.0])
    optimizer = optimizers.SGD(schedules.PiecewiseConstantDecay([1], [1.0, 0.5]), [w])
    rates = []
    for _ in range(4):
        rates.append(optimizer.learning_rate)
        give_gradient(w, [-1.0])
        optimizer.step()
    assert rates == [1.0, 1.0, 0.5, 0.5]
    assert w.item() == 3.0
    optimizer.learning_rate = lambda step: 1.0 / step
    assert optimizer.learning_rate == 0.25


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        (schedules.ExponentialDecay(0.8, 10, 0.5), [0, 5, 10, 20], [0.8, 0.8 * 0.5**0.5, 0.4, 0.2]),
        (schedules.ExponentialDecay(0.8, 10, 0.5, staircase=True), [0, 9, 10, 25], [0.8, 0.8, 0.4, 0.2]),
        (schedules.CosineDecay(1.0, 10, alpha=0.1), [0, 5, 10, 99], [1.0, 0.55, 0.1, 0.1]),
        (
            schedules.CosineDecay(0.1, 10, warmup_target=0.5, warmup_steps=4),
            [0, 2, 4, 9, 14],
            [0.1, 0.3, 0.5, 0.25, 0],
        ),
        (schedules.PiecewiseConstantDecay([5, 8], [3.0, 2.0, 1.0]), [0, 5, 6, 8, 9], [3, 3, 2, 2, 1]),
    ],
)
def test_schedules(schedule: Callable[[int], float], steps: list[int], expected: list[float]) -> None:
    np.testing.assert_allclose([schedule(step) for step in steps], expected, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: schedules.ExponentialDecay(-1, 10, 0.5),
            "must be a number at least 0",
        ),
        (lambda: schedules.ExponentialDecay(1, 0, 0.5), "decay_steps must be a number above 0"),
        (lambda: schedules.CosineDecay(float("nan"), 10), "initial_learning_rate"),
        (lambda: schedules.CosineDecay(1, 10, warmup_steps=3), "needs warmup_target"),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [1.0, 2.0]), "2 boundaries make 3 intervals"),
        (lambda: schedules.PiecewiseConstantDecay([2, 2], [1.0, 2.0, 3.0]), "must increase"),
    ],
)
def test_schedules_out_of_range(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(("name", "options", "end"), TRAJECTORIES)
def test_state_goes_on_where_it_stopped(name: str, options: dict[str, Any], end: list[float]) -> None:
    first = parameter(START)
    optimizer = getattr(optimizers, name)(parameters=[first], **options)
    descend(optimizer, first, 4)
    state = optimizer.state_dict()
    descend(optimizer, first, 1)  # the state is a copy
    second = parameter(START)
    fresh = getattr(optimizers, name)(parameters=[second], **options)
    descend(fresh, second, 4)
    again = getattr(optimizers, name)(parameters=[second], **options)
    again.load_state_dict(state)
    assert again.iterations == 4
    descend(again, second, 6)
    np.testing.assert_allclose(second.numpy(), end, rtol=1e-12)


def test_state_holds_the_learning_rates_but_not_schedules() -> None:
    w, v = parameter([1.0]), parameter([1.0])
    groups: list[dict[str, Any]] = [{"params": [w]}, {"params": [v], "learning_rate": 1}]
    optimizer = optimizers.SGD(0.1, groups, nesterov=True, momentum=0.5)
    optimizer.learning_rate = 0.3
    optimizer.param_groups[1]["learning_rate"] = 0.5
    other = optimizers.SGD(0.1, groups, momentum=0.5)
    other.load_state_dict(optimizer.state_dict())
    assert other.learning_rate == 0.3
    assert other.options["nesterov"] is True
    assert other.param_groups[1]["learning_rate"] == 0.5
    scheduled = optimizers.SGD(schedules.CosineDecay(1.0, 10), groups, momentum=0.5)
    scheduled.load_state_dict(optimizer.state_dict())
    assert scheduled.learning_rate == 1.0


def bad_states() -> list[tuple[Callable[[dict[str, Any]], Any], str]]:
    return [
        (lambda s: s.pop("iterations"), "no entry 'iterations'"),
        (lambda s: s.update({"iterations": np.array(-1)}), "must be a count"),
        (lambda s: s.update({"iterations": np.array([1, 2])}), "must be one number"),
        (lambda s: s.update({"options.learning_rate": np.array(np.nan)}), "learning_rate must be at least 0"),
        (lambda s: s.update({"0.m": np.zeros(3)}), "that of another model"),
        (lambda s: s.update({"0.m": np.zeros(2, np.float32)}), "that of another model"),
        (lambda s: s.update({"0.velocity": np.zeros(2)}), "that of another optimizer"),
        (lambda s: s.update({"1.updates": np.array(1)}), "has no place here"),
    ]


@pytest.mark.parametrize(("spoil", "words"), bad_states())
def test_states_that_do_not_fit_change_nothing(spoil: Callable[[dict[str, Any]], Any], words: str) -> None:
    w = parameter(START)
    optimizer = optimizers.Adam(0.05, [w])
    descend(optimizer, w, 2)
    before = optimizer.state_dict()
    state = {**before, "options.learning_rate": np.array(0.7)}
    spoil(state)
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


def wrong_uses() -> list[tuple[Callable[[], Any], type[Exception], str]]:
    w = parameter([1.0], name="w")
    x = qn.tensor([1.0])
    unbuilt = qn.Sequential([qn.layers.Dense(3)])

    def step(grad: Any) -> None:
        p = parameter([1.0, 2.0], name="kernel")
        optimizer = optimizers.SGD(0.1, [p])
        p.grad = grad
        optimizer.step()

    return [
        (lambda: optimizers.SGD(-0.1), ValueError, "learning_rate must be at least 0, got -0.1"),
        (lambda: optimizers.SGD("fast"), TypeError, "learning_rate must be a number, got 'fast'"),  # type: ignore[arg-type]
        (lambda: optimizers.SGD(0.1, nesterov=True), ValueError, "such as momentum=0.9"),
        (lambda: optimizers.SGD(0.1, momentum=1.0), ValueError, "momentum must be at least 0 and below 1"),
        (lambda: optimizers.Adam(beta_2=1.5), ValueError, "beta_2"),
        (lambda: optimizers.Adam(epsilon=-1), ValueError, "epsilon"),
        (lambda: optimizers.Adam(weight_decay=-1), ValueError, "weight_decay"),
        (lambda: optimizers.SGD(clipnorm=1, clipvalue=1), ValueError, "one way of clipping at a time"),
        (lambda: optimizers.SGD(clipnorm=0), ValueError, "clipnorm=0 would undo every gradient"),
        (lambda: optimizers.SGD(0.1, []), ValueError, "Build the model first"),
        (lambda: optimizers.SGD(0.1, unbuilt.parameters()), ValueError, r"model.build\(input_shape\)"),
        (lambda: optimizers.SGD(0.1, unbuilt), TypeError, r"pass model.parameters\(\)"),  # type: ignore[arg-type]
        (lambda: optimizers.SGD(0.1, w), TypeError, r"pass \[parameter\]"),  # type: ignore[arg-type]
        (lambda: optimizers.SGD(0.1, [x]), TypeError, "got Tensor at position 0"),  # type: ignore[list-item]
        (lambda: optimizers.SGD(0.1, [w, w]), ValueError, "parameter 'w' is given twice"),
        (lambda: optimizers.SGD(0.1, [{"params": [w]}, {"params": [w]}]), ValueError, "given twice"),
        (lambda: optimizers.SGD(0.1, [{"parameters": [w]}]), ValueError, "under 'params'"),
        (lambda: optimizers.SGD(0.1, [{"params": [w], "lr": 1}]), ValueError, "unknown option 'lr'"),
        (lambda: optimizers.SGD(0.1, [{"params": [w], "momentum": 2}]), ValueError, "momentum"),
        (lambda: optimizers.SGD(0.1).step(), ValueError, "no parameters to update"),
        (lambda: optimizers.SGD(0.1, [w]).step(), ValueError, r"call loss.backward\(\) before step"),
        (lambda: step(qn.tensor([1.0])), ValueError, "parameter 'kernel' is float64"),
        (lambda: step(qn.tensor(np.ones((2, 2)))), ValueError, r"its gradient is float64 \(2, 2\)"),
        (lambda: step(np.ones(2)), TypeError, "must be a tensor"),
        (lambda: optimizers.get("adamax"), ValueError, "expected one of 'sgd'"),
        (lambda: optimizers.get(3), TypeError, "name or an optimizer"),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(("use", "error", "words"), wrong_uses())
def test_wrong_use(use: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        use()


def test_a_rate_set_out_of_range_leaves_the_old_one() -> None:
    optimizer = optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = -1
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = lambda step: float("nan")
    assert optimizer.learning_rate == 0.1


def test_a_parameter_that_changed_its_shape() -> None:
    w = parameter(START)
    optimizer = optimizers.Adam(0.1, [w])
    descend(optimizer, w, 1)
    w.data = np.ones(3)
    give_gradient(w, np.ones(3))
    with pytest.raises(ValueError, match="make a new optimizer"):
        optimizer.step()


def test_backward_after_a_step_is_refused() -> None:
    w = parameter(START)
    optimizer = optimizers.SGD(0.1, [w])
    loss = (w * w).sum()
    give_gradient(w, [1.0, 1.0])
    optimizer.step()
    with pytest.raises(RuntimeError, match="Call backward before step"):
        loss.backward()


def test_names() -> None:
    for name, kind in [("sgd", optimizers.SGD), ("RMSprop", optimizers.RMSprop), ("adamw", optimizers.AdamW)]:
        assert type(optimizers.get(name)) is kind
    mine = optimizers.Adam()
    assert optimizers.get(mine) is mine
