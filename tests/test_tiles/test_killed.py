"""A process that is killed while it saves leaves the old file, or the new one, whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rpupy.tiles import AnalogTile, load

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

#: Counts what a profiler sees of a save: calls and returns, of Python and of C. Then forks once
#: for each of some moments; the child saves and kills itself there. Prints what was left.
SCRIPT = """
import json, os, pathlib, signal, sys
from rpupy.tiles import load

folder, moments = pathlib.Path(sys.argv[1]), int(sys.argv[2])
path = folder / "tile"
old = path.read_bytes()
tile = load(path)
tile.update([0.5] * tile.in_size, [0.5] * tile.out_size)
seen, last = 0, None

def profile(frame, event, argument):
    global seen
    seen += 1
    if seen == last:
        os.kill(os.getpid(), signal.SIGKILL)

def save(target):
    global seen
    seen = 0
    sys.setprofile(profile)
    tile.save(target)
    sys.setprofile(None)

save(folder / "new")
save(folder / "new")  # the first one imports
new, events = (folder / "new").read_bytes(), seen
kept = replaced = temporary = 0
# The last moments are the closest: that is where the file takes its place.
for last in [*range(1, events, events // moments), *range(events - 40, events - 2, 2)]:
    child = os.fork()
    if child == 0:
        save(path)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    now = path.read_bytes()
    assert now in (old, new), last
    kept, replaced = kept + (now == old), replaced + (now == new)
    if now == new:
        path.write_bytes(old)
    for left in folder.glob(".rpupy-*.tmp"):
        temporary += 1
        left.unlink()
print(json.dumps([events, kept, replaced, temporary]))
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    AnalogTile(3, 4, bias=True, rng=1).save(tmp_path / "tile")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    events, kept, replaced, temporary = json.loads(done.stdout)
    # Before, while and after the new file takes the place of the old one.
    assert events > 300 and kept > 30 and replaced > 3 and temporary > 10


def test_killed_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "tile"
    AnalogTile(100, 200, rng=1).save(path)
    code = (
        "import sys; from rpupy.tiles import load\n"
        "tile = load(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    tile.diffuse_weights()\n"
        "    tile.save(sys.argv[1])\n"
    )
    for pause in (0.0, 0.003, 0.01):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE
        )
        assert child.stdout.readline() == b"ready\n"
        try:
            child.wait(pause)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.communicate()
        assert load(path).shape == (100, 200)
