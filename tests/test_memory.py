"""Memory: the pool reuses and returns what it holds, results free their blocks, repeated work does not
grow."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import quernel as qn
from quernel import backend as B
from quernel import kernels

from .networks import data, trained


def in_use() -> int:
    gc.collect()
    return int(qn.memory_stats()["in_use"])


def test_results_give_their_memory_back():
    x = np.ones((1000, 1000), np.float32)
    qn.empty_cache()  # else a free block of up to twice the size may serve
    before = in_use()
    y = kernels.unary("exp", x)
    assert x.nbytes <= in_use() - before <= 1.3 * x.nbytes
    view = y[10:20, ::3]
    del y
    assert in_use() - before >= x.nbytes, "a view keeps its array alive"
    del view
    assert in_use() == before


def test_memory_is_reused_and_can_be_returned():
    x = np.ones((700, 1001), np.float32)
    kernels.unary("exp", x)
    system_calls = qn.memory_stats()["system_calls"]
    for _ in range(50):
        kernels.unary("exp", x)
    assert qn.memory_stats()["system_calls"] == system_calls
    assert qn.memory_stats()["cached"] >= x.nbytes
    qn.empty_cache()
    assert qn.memory_stats()["cached"] == 0


def test_no_write_outside_a_block_so_far():
    assert qn.memory_stats()["violations"] == 0


@pytest.mark.parametrize("name", ["convolutional", "characters"])
def test_training_does_not_grow(name):
    """What a step leaves behind is what the step before left: nothing holds on to graphs."""
    trained(name, steps=3)
    before = in_use()
    trained(name, steps=12)
    assert in_use() <= before


@pytest.mark.parametrize("name", ["convolutional", "residual"])
def test_prediction_does_not_grow(name, rng):
    model, _ = trained(name, steps=1)
    x, _ = data(name, 5, rng)
    model.predict(x)
    before, system_calls = in_use(), qn.memory_stats()["system_calls"]
    for _ in range(50):
        model.predict(x)
    assert in_use() == before
    assert qn.memory_stats()["system_calls"] == system_calls


def unguarded(program: str) -> None:
    """In a process of its own, with the pool as it is outside tests."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "QUERNEL_MEMORY_GUARD": "0"},
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_random_shapes_do_not_grow_the_process():
    unguarded("""
        import quernel as qn
        from benchmarks import memory

        growth = memory.random_shapes(2000)
        assert growth.after <= 1.05 * growth.before, growth
        assert memory.held() <= 1.05 * qn.memory_stats()["peak"], qn.memory_stats()
    """)


def test_predictions_leave_nothing_behind():
    """The pool is exact; Python keeps some blocks for later, but not one of 50 predictions; pages of the C library's
    heap come in tens of kilobytes, and a leak of 64 bytes a prediction would be 320 kB."""
    unguarded("""
        from benchmarks import memory

        left = memory.predictions(5000)
        assert left.pool == 0 and left.objects <= 100 and left.resident <= 256 * 1024, left
    """)


def test_large_arrays_are_resident_with_their_own_size():
    """4 MiB and a header are two huge pages and a small one, not three huge ones."""
    unguarded("""
        import numpy as np
        from benchmarks import memory
        from quernel import kernels

        x = np.ones(1 << 20, np.float32)
        kernels.copy(x)
        before = memory.status("VmRSS")
        held = [kernels.copy(x) for _ in range(20)]
        grown = memory.status("VmRSS") - before
        assert grown <= 1.1 * sum(y.nbytes for y in held), grown
    """)


def test_repeated_work_asks_the_system_for_nothing():
    """After some steps, though what it uses in turn is more than it ever uses at once."""
    unguarded("""
        import numpy as np
        import quernel as qn
        from quernel import kernels

        def step():
            for n in (300, 500, 700, 900, 1100):
                x = np.ones((n, 1000), np.float32)
                kernels.matmul(kernels.unary("exp", x), kernels.unary("negative", x), True, False)

        for _ in range(10):
            step()
        before = qn.memory_stats()["system_calls"]
        step()
        assert qn.memory_stats()["system_calls"] == before, qn.memory_stats()
    """)


def test_impossible_sizes_are_refused():
    half = np.broadcast_to(np.float32(1), (1 << 30, 1))
    with pytest.raises(MemoryError, match="no memory for an array of shape"):
        kernels.binary("add", half, np.broadcast_to(np.float32(1), (1, 1 << 30)))
    assert np.isfinite(kernels.unary("exp", np.ones(5, np.float32))).all()


def test_python_threads_compute_at_once(rng):
    """Calls from several Python threads at once give the right results (the GIL is released in kernels)."""
    x = rng.normal(size=(8, 200, 200)).astype(np.float32)
    expected = [B.matmul(a, a) for a in x]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(B.matmul(x[i], x[i]), expected[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(x))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_what_one_thread_gives_back_serves_another():
    """Each thread has free lists of its own, and looks at the others' before it asks the system."""
    unguarded("""
        import threading
        import numpy as np
        import quernel as qn
        from quernel import kernels

        x = np.ones((1000, 1001), np.float32)
        kernels.unary("exp", x)
        before = qn.memory_stats()["system_calls"]
        for _ in range(20):
            worker = threading.Thread(target=lambda: kernels.unary("exp", x))
            worker.start()
            worker.join()
            kernels.unary("exp", x)
        assert qn.memory_stats()["system_calls"] == before, qn.memory_stats()
    """)


def test_denormals_are_flushed_in_kernels_and_nowhere_else():
    tiny = np.full(100, 1e-40, np.float32)
    assert (kernels.binary("multiply", tiny, np.ones(100, np.float32)) == 0).all()
    assert (tiny * np.float32(1)).all(), "the caller's floating-point state is as it was"
    one = np.float32(2.0**-149)
    assert one / np.float32(1) == one
