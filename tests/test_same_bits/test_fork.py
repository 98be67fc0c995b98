"""A forked child computes the same bits, on one thread, and does not hang."""

import json
import os
import select
import signal
import sys
import time
import traceback

import pytest
import same_bits_runs as runs

import rpupy

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    # Python 3.12 and later warn of what is done here on purpose.
    pytest.mark.filterwarnings(
        "ignore:.*multi-threaded, use of fork.*:DeprecationWarning"
    ),
]

SECONDS = 60


def in_forked_child(function):
    """Call a function in a forked child and return its result, which JSON can hold."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            text = json.dumps(function())
            with os.fdopen(writer, "w") as stream:
                stream.write(text)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    received = b""
    deadline = time.monotonic() + SECONDS
    try:
        while select.select([reader], [], [], max(deadline - time.monotonic(), 0))[0]:
            part = os.read(reader, 65536)
            if not part:
                break
            received += part
        else:
            os.kill(child, signal.SIGKILL)
            pytest.fail(f"the child hangs: nothing after {SECONDS} seconds")
    finally:
        os.close(reader)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return json.loads(received)


@pytest.mark.parametrize(
    "name", ["constant_step_large", "everything_large", "ideal_few"]
)
def test_child_computes_the_same_bits_after_threads_in_the_parent(name, reference):
    expected = reference(name)
    rpupy.set_num_threads(3)
    assert runs.run(runs.SCENARIOS[name]) == expected
    assert in_forked_child(lambda: runs.run(runs.SCENARIOS[name])) == expected
    # The parent's threads still work.
    assert rpupy.get_num_threads() == 3
    assert runs.run(runs.SCENARIOS[name]) == expected


def test_child_continues_a_tile_of_the_parent(reference):
    name = "soft_bounds_large"
    scenario = runs.SCENARIOS[name]
    expected = reference(name)
    rpupy.set_num_threads(2)
    tile = scenario.tile()
    runs.step(tile, 0, scenario.batch)
    assert in_forked_child(lambda: runs.continued(tile, scenario, 1)) == expected[2:]
    # What the child did happened to its copy.
    assert runs.continued(tile, scenario, 1) == expected[2:]


def test_child_of_a_child_works_too(reference):
    name = "ideal_large"
    rpupy.set_num_threads(2)
    result = in_forked_child(
        lambda: in_forked_child(lambda: runs.run(runs.SCENARIOS[name]))
    )
    assert result == _on_one_thread(reference, name)


def _on_one_thread(reference, name):
    rpupy.set_num_threads(1)
    return reference(name)


def test_child_has_one_thread_and_refuses_more():
    rpupy.set_num_threads(2)

    def child():
        try:
            rpupy.set_num_threads(2)
        except RuntimeError as error:
            rpupy.set_num_threads(1)
            return [rpupy.get_num_threads(), str(error)]
        return None

    number, message = in_forked_child(child)
    assert number == 1
    assert "n must be 1 in a forked process, got 2" in message
    assert rpupy.get_num_threads() == 2
