"""After fork, the OpenMP pool's threads are gone: training in a child must end all the same, every time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

# Time enough for a machine a hundred times slower; a hang lasts for ever.
TIMEOUT_SECONDS = 300
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

CHILDREN = """
    import os, sys
    import numpy as np
    import quernel as qn
    from quernel import backend as B
    from tests.networks import trained, weights

    qn.set_num_threads(2)
    big = np.ones((512, 512), np.float32)
    B.matmul(big, big)  # enough work for the pool to start
    assert len(os.listdir("/proc/self/task")) > 1, "the pool has not started"
    expected = weights(trained("convolutional", steps=2)[0])
    for child in range(100):
        pid = os.fork()
        if pid == 0:
            same = weights(trained("convolutional", steps=2)[0]) == expected
            alone = qn.get_num_threads() == 1
            os._exit(0 if same and alone else 1)
        _, status = os.waitpid(pid, 0)
        assert status == 0, (child, status)
    assert weights(trained("convolutional", steps=2)[0]) == expected  # the parent goes on
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
REFUSED = """
    import os
    import numpy as np
    import quernel as qn
    from quernel import backend as B

    qn.set_num_threads(2)
    big = np.ones((512, 512), np.float32)
    B.matmul(big, big)
    if os.fork() == 0:
        qn.set_num_threads(1)
        try:
            qn.set_num_threads(2)
        except RuntimeError as error:
            os._exit(0 if "spawn" in str(error) and "fork" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
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


def test_threads_after_fork_are_refused_with_the_way_out():
    ends(REFUSED)
