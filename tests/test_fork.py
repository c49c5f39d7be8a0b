"""After fork the helper threads are gone: a child hires its own, and training in it must end, every time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

# Time enough for a machine a hundred times slower; a hang lasts for ever.
TIMEOUT_SECONDS = 300
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}

CHILDREN = """
    import os
    import numpy as np
    import quernel as qn
    from quernel import backend as B
    from tests.networks import trained, weights

    def tasks():
        return len(os.listdir("/proc/self/task"))

    qn.set_num_threads(2)
    big = np.ones((512, 512), np.float32)
    before = tasks()
    B.matmul(big, big)  # enough work for a helper
    assert tasks() == before + 1, "no helper was hired"
    names = ("perceptron", "convolutional", "residual", "characters")
    expected = [weights(trained(name, steps=2)[0]) for name in names]
    for child in range(100):
        pid = os.fork()
        if pid == 0:
            before = tasks()
            same = weights(trained(names[child % 4], steps=2)[0]) == expected[child % 4]
            B.matmul(big, big)
            helped = qn.get_num_threads() == 2 and tasks() == before + 1
            os._exit(0 if same and helped else 1)
        _, status = os.waitpid(pid, 0)
        assert status == 0, (child, status)
    assert weights(trained("convolutional", steps=2)[0]) == expected[1]  # the parent goes on
    print("all ended")
"""
GRANDCHILD = """
    import os
    import quernel as qn
    from tests.networks import trained

    trained("characters", steps=1)
    if os.fork() == 0:
        trained("characters", steps=1)
        if os.fork() == 0:
            trained("residual", steps=1)
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    print("all ended")
"""
BEFORE_TRAINING = """
    import os
    import quernel as qn
    from tests.networks import trained

    if os.fork() == 0:
        qn.set_num_threads(2)
        trained("convolutional", steps=2)
        os._exit(0 if qn.get_num_threads() == 2 else 1)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    print("all ended")
"""
WHILE_COMPUTING = """
    import os, threading
    import numpy as np
    import quernel as qn
    from quernel import backend as B

    qn.set_num_threads(2)
    big = np.ones((512, 512), np.float32)
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            B.matmul(big, big)

    thread = threading.Thread(target=compute)
    thread.start()
    for child in range(50):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if (B.matmul(big, big) == 512).all() else 1)
        _, status = os.waitpid(pid, 0)
        assert status == 0, (child, status)
    stop.set()
    thread.join()
    print("all ended")
"""


def ends(program: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)], env=ENVIRONMENT, capture_output=True,
        text=True, timeout=TIMEOUT_SECONDS, cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout == "all ended\n"


def test_training_forking_and_training_in_the_child_ends_every_time():
    ends(CHILDREN)


def test_a_child_of_a_child():
    ends(GRANDCHILD)


def test_a_child_forked_before_any_training_may_use_threads():
    ends(BEFORE_TRAINING)


def test_a_child_forked_while_another_thread_computes():
    ends(WHILE_COMPUTING)
