"""Captured output: every line, of every writer, without changing what the terminal shows or standing in anybody's way.

Each case is a process of its own, because it is about the descriptors of a process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ml_dash
from ml_dash.recording.output_lines import CHARACTERS_MAX, Lines

PREFIX = "alice/ml/run"
PREAMBLE = """
import ctypes, os, subprocess, sys, threading, time
from ml_dash import Experiment
from ml_dash.recording.output_capture import OutputCapture

experiment = Experiment("alice/ml/run", dash_root=sys.argv[1])
experiment.run.start()
capture = OutputCapture(experiment._recorder)

def recorded():
    return sum(experiment._recorder.replay().refresh().output_counts.values())

def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)
"""


def run(tmp_path: Path, script: str, stdout: int = subprocess.PIPE, code: int = 0) -> subprocess.CompletedProcess[str]:
    """What a process printed that ran the script between the start and the end of an experiment."""
    command = [sys.executable, "-c", f"{PREAMBLE}{script}\nexperiment.run.complete()\n", str(tmp_path)]
    ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120)
    assert ended.returncode == code, ended.stderr[-2000:]
    return ended


def recorded(tmp_path: Path, prefix: str = PREFIX) -> list[tuple[str, str]]:
    """(stream, line) of every captured line."""
    events = ml_dash.events(prefix, dash_root=tmp_path)
    return [(event.data["stream"], event.data["text"]) for event in events if event.type == "output.written"]


def lines(tmp_path: Path, stream: str = "stdout", prefix: str = PREFIX) -> list[str]:
    return [text for name, text in recorded(tmp_path, prefix) if name == stream]


# --- what is caught -----------------------------------------------------------------------------------------


def test_what_python_c_and_children_write_is_recorded_and_shown(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "capture.start()\n"
        "print('from Python')\n"
        "os.write(1, b'from the descriptor\\n')\n"
        "ctypes.CDLL(None).puts(b'from C')\n"
        "ctypes.CDLL(None).fflush(None)\n"
        "subprocess.run(['echo', 'from a child'])\n"
        "subprocess.run([sys.executable, '-c', 'import sys; print(\"child trouble\", file=sys.stderr)'])\n"
        "print('trouble', file=sys.stderr)\n"
        "capture.close()\n",
    )
    shown = ["from Python", "from the descriptor", "from C", "from a child"]
    assert lines(tmp_path) == ended.stdout.splitlines() == shown
    assert lines(tmp_path, "stderr") == ended.stderr.splitlines() == ["child trouble", "trouble"]


def test_what_was_written_before_and_after_is_not_recorded(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "sys.stdout.write('before')\n"
        "ctypes.CDLL(None).printf(b' in the buffer of C ')\n"
        "capture.start()\n"
        "print('within')\n"
        "capture.close()\n"
        "print('after')\n",
    )
    assert lines(tmp_path) == ["within"]
    assert sorted(ended.stdout.split()) == sorted("before in the buffer of C within after".split())


def test_a_line_without_an_end_is_recorded_at_the_close(tmp_path: Path) -> None:
    ended = run(tmp_path, "capture.start()\nprint('a\\nb', end='')\ncapture.close()\n")
    assert lines(tmp_path) == ["a", "b"]
    assert ended.stdout == "a\nb"


def test_log_lines_that_are_printed_are_captured_like_everything_that_is(tmp_path: Path) -> None:
    run(tmp_path, "capture.start()\nexperiment.log('x', a=1)\nexperiment.logs.error('y')\ncapture.close()\n")
    assert recorded(tmp_path) == [("stdout", "[INFO] x [a=1]"), ("stderr", "[ERROR] y")]


def test_lines_are_recorded_when_they_are_written_though_the_terminal_is_a_pipe(tmp_path: Path) -> None:
    run(
        tmp_path,
        "capture.start()\nprint('first')\nwait_until(recorded)\nexperiment.log('between')\ncapture.close()\n",
    )
    events = [event for event in ml_dash.events(PREFIX, dash_root=tmp_path) if event.type.endswith("written")]
    assert [event.type for event in events][:2] == ["output.written", "log.written"]


def test_captured_lines_are_counted_by_stream(tmp_path: Path) -> None:
    run(tmp_path, "capture.start()\nprint('a\\nb')\nprint('c', file=sys.stderr)\ncapture.close()\n")
    assert dict(ml_dash.load(PREFIX, dash_root=tmp_path).state.output_counts) == {"stdout": 2, "stderr": 1}


# --- restoring ----------------------------------------------------------------------------------------------

DESCRIPTORS = "[(n, os.fstat(n).st_ino, os.get_inheritable(n)) for n in (1, 2)]"


def test_descriptors_and_threads_are_afterwards_what_they_were(tmp_path: Path) -> None:
    run(
        tmp_path,
        f"before = {DESCRIPTORS}, len(os.listdir('/dev/fd')), sys.stdout.line_buffering\n"
        "for _ in range(3):\n"
        "    capture.start()\n"
        "    print('x')\n"
        "    capture.close()\n"
        "wait_until(lambda: not any('ml-dash output' in thread.name for thread in threading.enumerate()))\n"
        f"assert before == ({DESCRIPTORS}, len(os.listdir('/dev/fd')), sys.stdout.line_buffering)\n",
    )
    assert lines(tmp_path) == ["x"] * 3


def test_starting_and_closing_twice_does_nothing_more(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "capture.close()\ncapture.start()\ncapture.start()\nprint('x')\ncapture.close()\ncapture.close()\nprint('y')\n",
    )
    assert lines(tmp_path) == ["x"]
    assert ended.stdout == "x\ny\n"


@pytest.mark.parametrize(
    "order", ["other.close(); print('c'); capture.close()", "capture.close(); print('c'); other.close()"]
)
def test_two_experiments_may_end_their_captures_in_any_order(tmp_path: Path, order: str) -> None:
    ended = run(
        tmp_path,
        "second = Experiment('alice/ml/second', dash_root=sys.argv[1])\n"
        "second.run.start()\n"
        "other = OutputCapture(second._recorder)\n"
        "capture.start(); print('a'); other.start(); print('b')\n"
        f"{order}\n"
        "print('d')\n"
        "second.run.complete()\n",
    )
    first = ["a", "b", "c"] if order.endswith("capture.close()") else ["a", "b"]
    assert lines(tmp_path) == first
    assert lines(tmp_path, prefix="alice/ml/second") == (["b"] if len(first) == 3 else ["b", "c"])
    assert ended.stdout == "a\nb\nc\nd\n"


def test_what_somebody_else_has_put_in_place_meanwhile_stays(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "capture.start()\n"
        "print('a')\n"
        "kept = os.dup(1)\n"
        "theirs = os.open(os.devnull, os.O_WRONLY)\n"
        "os.dup2(theirs, 1)\n"
        "capture.close()\n"
        "assert os.path.samestat(os.fstat(1), os.fstat(theirs))\n"
        "print('into theirs')\n"
        "os.dup2(kept, 1)\n"
        "print('passed on')\n"
        "os.dup2(theirs, 1)\n"
        "os.close(kept)\n"
        "wait_until(lambda: not any('output' in thread.name for thread in threading.enumerate()))\n",
    )
    assert lines(tmp_path) == ["a"]
    assert ended.stdout == "a\npassed on\n"


def test_a_process_without_standard_output_captures_the_rest(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "os.close(1)\ncapture.start()\nprint('trouble', file=sys.stderr)\ncapture.close()\nsys.stdout = None\n",
    )
    assert recorded(tmp_path) == [("stderr", "trouble")]
    assert ended.stderr == "trouble\n"


def test_recording_goes_on_when_the_terminal_is_gone(tmp_path: Path) -> None:
    script = "capture.start()\nfor n in range(20_000): print('line', n)\ncapture.close()\nexperiment.run.complete()\n"
    process = subprocess.Popen([sys.executable, "-c", PREAMBLE + script, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=60)
    assert lines(tmp_path) == [f"line {n}" for n in range(20_000)]


# --- nobody is stopped --------------------------------------------------------------------------------------


def test_more_than_the_pipes_hold_comes_through_unchanged(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "capture.start()\n"
        "flood = 'import sys\\nfor n in range(30_000): print(n, \"x\" * 60, file=sys.stderr)'\n"
        "child = subprocess.Popen([sys.executable, '-c', flood])\n"
        "for n in range(30_000): print(n, 'y' * 60)\n"
        "child.wait()\n"
        "os.write(1, b'z' * 3_000_000)\n"
        "capture.close()\n",
    )
    assert lines(tmp_path, "stderr") == ended.stderr.splitlines() == [f"{n} {'x' * 60}" for n in range(30_000)]
    assert lines(tmp_path)[:30_000] == ended.stdout.splitlines()[:-1] == [f"{n} {'y' * 60}" for n in range(30_000)]
    assert "".join(lines(tmp_path)[30_000:]) == ended.stdout.splitlines()[-1] == "z" * 3_000_000


def test_a_forked_child_is_caught_and_its_end_leaves_the_capture_alone(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "capture.start()\n"
        "for number in range(3):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        print('child', number)\n"
        "        capture.close()\n"
        "        print('still', number)\n"
        "        sys.stdout.flush()\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "print('parent')\n"
        "capture.close()\n",
    )
    expected = [f"{word} {number}" for number in range(3) for word in ("child", "still")] + ["parent"]
    assert lines(tmp_path) == ended.stdout.splitlines() == expected


def test_forks_while_threads_print_stop_nobody(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "capture.start()\n"
        "stop = threading.Event()\n"
        "def chat():\n"
        "    while not stop.wait(0.0002): os.write(1, b'thread\\n')\n"
        "threads = [threading.Thread(target=chat) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "for number in range(40):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os.write(1, b'child\\n')\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "stop.set()\n"
        "for thread in threads: thread.join()\n"
        "capture.close()\n",
    )
    assert ended.stdout.count("child\n") == lines(tmp_path).count("child") == 40
    assert lines(tmp_path) == ended.stdout.splitlines()


def test_a_child_that_outlives_the_capture_writes_on_to_the_terminal(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "capture.start()\n"
        "child = subprocess.Popen(['sh', '-c', 'echo early; read line; echo late'], stdin=subprocess.PIPE)\n"
        "wait_until(recorded)\n"
        "capture.close()\n"
        "child.communicate(b'go\\n')\n"
        "wait_until(lambda: not any('output' in thread.name for thread in threading.enumerate()))\n",
    )
    assert lines(tmp_path) == ["early"]
    assert ended.stdout == "early\nlate\n"


def test_a_child_that_writes_without_end_does_not_hold_up_the_close(tmp_path: Path) -> None:
    run(
        tmp_path,
        "capture.start()\n"
        "child = subprocess.Popen(['sh', '-c', 'while :; do echo ' + 'y' * 500 + '; done'])\n"
        "wait_until(recorded)\n"
        "capture.close()\n"
        "child.kill()\n"
        "child.wait()\n",
        stdout=subprocess.DEVNULL,
    )
    *whole, last = lines(tmp_path)
    assert set(whole) <= {"y" * 500}
    assert ("y" * 500).startswith(last)


def test_what_is_printed_while_a_line_is_being_recorded_stops_nobody(tmp_path: Path) -> None:
    """The journal's warning goes to standard error too; here it is larger than the pipe that it goes through."""
    ended = run(
        tmp_path,
        "class Loud:\n"
        "    warned = False\n"
        "    def writer(self):\n"
        "        if not self.warned:\n"
        "            self.warned = True\n"
        "            os.write(2, b'w' * 3_000_000 + b'\\n')\n"
        "        return experiment._recorder.writer()\n"
        "capture = OutputCapture(Loud())\n"
        "capture.start()\n"
        "print('x')\n"
        "wait_until(lambda: recorded() == 47)\n"
        "capture.close()\n",
    )
    assert ended.stdout == "x\n"
    assert ended.stderr == "w" * 3_000_000 + "\n"
    assert lines(tmp_path) == ["x"]
    assert "".join(lines(tmp_path, "stderr")) == "w" * 3_000_000


def test_lines_recorded_before_a_kill_are_kept(tmp_path: Path) -> None:
    run(
        tmp_path,
        "capture.start()\n"
        "for n in range(100): print(n)\n"
        "wait_until(lambda: recorded() == 100)\n"
        "os.kill(os.getpid(), 9)\n",
        code=-9,
    )
    assert lines(tmp_path) == [str(n) for n in range(100)]


def test_in_a_notebook_what_python_prints_is_taken_from_its_own_stream(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "class Cell:\n"
        "    encoding = 'utf-8'\n"
        "    def __init__(self): self.shown = []\n"
        "    def write(self, text): self.shown.append(text); return len(text)\n"
        "    def flush(self): pass\n"
        "terminal, cell = sys.stdout, Cell()\n"
        "sys.stdout = cell\n"
        "capture.start()\n"
        "print('in a cell', 1)\n"
        "sys.stdout.writelines(['a\\n', 'b'])\n"
        "assert sys.stdout.encoding == 'utf-8'\n"
        "os.write(1, b'below\\n')\n"
        "capture.close()\n"
        "assert sys.stdout is cell\n"
        "sys.stdout = terminal\n"
        "print(''.join(cell.shown))\n",
    )
    assert sorted(lines(tmp_path)) == ["a", "b", "below", "in a cell 1"]
    assert ended.stdout == "below\nin a cell 1\na\nb\n"


# --- Experiment(capture_output=True) ------------------------------------------------------------------------


def run_whole(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    code = f"import os, sys\nfrom ml_dash import Experiment\n{script}"
    return subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)


def test_an_experiment_captures_from_its_start_to_its_end_each_time(tmp_path: Path) -> None:
    ended = run_whole(
        tmp_path,
        "experiment = Experiment('alice/ml/run', dash_root=sys.argv[1], capture_output=True)\n"
        "print('before')\n"
        "for number in range(2):\n"
        "    with experiment.run:\n"
        "        print('session', number)\n"
        "    print('between')\n",
    )
    assert ended.stdout == "before\nsession 0\nbetween\nsession 1\nbetween\n"
    assert lines(tmp_path) == ["session 0", "session 1"]


def test_an_experiment_captures_nothing_unless_it_is_asked_to(tmp_path: Path) -> None:
    run_whole(tmp_path, "with Experiment('alice/ml/run', dash_root=sys.argv[1]).run: print('x')")
    assert recorded(tmp_path) == []


def test_a_run_that_an_exception_ends_unclosed_has_the_traceback_among_its_lines(tmp_path: Path) -> None:
    ended = run_whole(
        tmp_path,
        "Experiment('alice/ml/run', dash_root=sys.argv[1], capture_output=True).run.start()\n"
        "print('last words')\n"
        "raise ValueError('diverged')\n",
    )
    assert ended.returncode == 1
    assert lines(tmp_path) == ["last words"]
    assert lines(tmp_path, "stderr") == ended.stderr.splitlines()
    assert ended.stderr.splitlines()[-1] == "ValueError: diverged"
    assert ml_dash.load(PREFIX, dash_root=tmp_path).status == "FAILED"


def test_a_forked_child_that_exits_with_the_experiment_open_ends_no_capture(tmp_path: Path) -> None:
    ended = run_whole(
        tmp_path,
        "experiment = Experiment('alice/ml/run', dash_root=sys.argv[1], capture_output=True)\n"
        "experiment.run.start()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print('child')\n"
        "    experiment.metrics('m').log(x=1)\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "print('parent')\n",
    )
    assert ended.stdout == "child\nparent\n"
    assert lines(tmp_path) == ["child", "parent"]
    assert ml_dash.load(PREFIX, dash_root=tmp_path).status == "COMPLETED"


def test_nothing_is_captured_where_recording_is_disabled(tmp_path: Path) -> None:
    ended = run_whole(
        tmp_path,
        "os.environ['ML_DASH_MODE'] = 'disabled'\n"
        "before = os.fstat(1).st_ino\n"
        "with Experiment('alice/ml/run', dash_root=sys.argv[1], capture_output=True).run:\n"
        "    print('x', os.fstat(1).st_ino == before)\n",
    )
    assert ended.stdout == "x True\n"
    assert list(tmp_path.iterdir()) == []


# --- lines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\nc"], ["ab", "c"]),
        ([b"\n\n"], ["", ""]),
        ([b"a\r\nb\r", b"\nc"], ["a", "b", "c"]),
        ([b"\r10%", b"\r50%\r", b"100%\n", b"after"], ["100%", "after"]),
        ([b"\r10%\r20%\r"], ["20%"]),
        ([b"caf\xc3", b"\xa9\n"], ["café"]),
        ([b"bad \xff byte\n", b"\xc3"], ["bad \\xff byte", "\\xc3"]),
        ([], []),
    ],
)
def test_bytes_become_the_lines_that_a_terminal_would_show(pieces: list[bytes], expected: list[str]) -> None:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)]
    assert found + lines.finish() == expected
    assert lines.feed(b"again\n") == ["again"]


def test_output_without_end_of_line_is_cut() -> None:
    lines = Lines()
    for end in (b"", b"\n"):
        found = lines.feed(b"x" * CHARACTERS_MAX) + lines.feed(b"x" * (CHARACTERS_MAX + 5) + end)
        assert [len(line) for line in found + lines.finish()] == [CHARACTERS_MAX, CHARACTERS_MAX, 5]
