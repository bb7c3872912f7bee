"""What runs the tests against mutants, inside of pytest.  Two passes over the same tests; `__main__.py` starts both.

*measure*: every test once, with the processor time it takes and the lines it runs.

*mutate*: all tests are collected once.  For each mutant the process forks; the child gives the changed code to the
function that stands in memory, and runs the tests that run the changed line, quick ones first, until one fails.  The
file is changed too, for processes that a test starts.  What stands outside of functions needs a fresh process instead.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from .mutations import Mutant, mutants

PROCESSOR_S_MAX = 20.0
"""Not more tests for one mutant than take this long together."""
WALL_S_MIN = 60.0
SURVIVED, KILLED, ENDED, UNCOVERED = "survived", "killed", "ended", "uncovered"
"""Ended: it took more than five times as long, or took the process of the tests with it."""


@dataclass
class Plan:
    """What `__main__.py` asks for: a JSON file, named by MUTANTS_PLAN."""

    root: str
    work: str
    measured: str
    files: list[str]
    only: list[list[Any]] | None = None
    """(file, start, new) of the mutants to run; None for all."""
    output: str | None = None
    processor_s_max: float = PROCESSOR_S_MAX


def processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Measuring:
    def __init__(self, plan: Plan) -> None:
        import coverage

        self._plan = plan
        files = [str(Path(plan.root) / file) for file in plan.files]
        self._coverage = coverage.Coverage(data_file=None, include=files, config_file=False)
        self._processor_s: dict[str, float] = {}
        self._failed: set[str] = set()

    def pytest_collection_finish(self) -> None:
        self._coverage.start()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, None, None]:
        self._coverage.switch_context(item.nodeid)
        before = processor_s()
        yield
        self._processor_s[item.nodeid] = processor_s() - before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {
            file: data.contexts_by_lineno(str(Path(self._plan.root) / file)) if data.measured_files() else {}
            for file in self._plan.files
        }
        found = {
            "processor_s": self._processor_s,
            "failed": sorted(self._failed),
            "lines": {
                file: {line: [c for c in tests if c] for line, tests in of.items()} for file, of in lines.items()
            },
        }
        Path(self._plan.measured).write_text(json.dumps(found), encoding="utf-8")


def _code_named(code: CodeType, name: str) -> CodeType | None:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            found = each if each.co_qualname == name else _code_named(each, name)
            if found is not None:
                return found
    return None


def function_named(module: object, name: str) -> FunctionType | None:
    found: Any = module
    for part in name.split("."):
        found = vars(found).get(part)
        found = getattr(found, "fget", None) or getattr(found, "__func__", None) or getattr(found, "func", found)
        found = getattr(found, "__wrapped__", found)
    return found if isinstance(found, FunctionType) else None


class Mutating:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._root = Path(plan.root)
        measured = json.loads(Path(plan.measured).read_text(encoding="utf-8"))
        self._processor_s: dict[str, float] = measured["processor_s"]
        self._lines: dict[str, dict[int, list[str]]] = {
            file: {int(line): tests for line, tests in lines.items()} for file, lines in measured["lines"].items()
        }
        self._failed = set(measured["failed"])
        self._kills: Counter[tuple[str, str | None, str]] = Counter()
        self._failed_test: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._failed_test is None:
            self._failed_test = report.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        assert self._plan.output is not None
        with Path(self._plan.output).open("a", encoding="utf-8") as output:
            for file in self._plan.files:
                path = self._root / file
                source, times = path.read_bytes(), path.stat()
                try:
                    for number, mutant in enumerate(mutants(source)):
                        if self._is_wanted(file, mutant):
                            path.write_bytes(mutant.applied(source))
                            os.utime(path, (times.st_atime + 10 + number, times.st_mtime + 10 + number))
                            result = self._run(session, items, file, source, mutant)
                            output.write(json.dumps(result) + "\n")
                            output.flush()
                finally:
                    path.write_bytes(source)
                    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return True

    def _is_wanted(self, file: str, mutant: Mutant) -> bool:
        return self._plan.only is None or [file, mutant.start, mutant.new.decode()] in self._plan.only

    def tests_for(self, file: str, mutant: Mutant) -> list[str]:
        lines = self._lines.get(file, {})
        if mutant.function is None:
            found = {test for tests in lines.values() for test in tests}
        else:
            line = mutant.line
            while line > mutant.line - 8 and not lines.get(line):
                line -= 1
            found = set(lines.get(line, ()))
        chosen, total = [], 0.0
        for test in sorted(found - self._failed, key=lambda test: self._order(file, mutant, test)):
            total += self._processor_s.get(test, 0)
            if total > self._plan.processor_s_max and chosen:
                break
            chosen.append(test)
        return chosen

    def _order(self, file: str, mutant: Mutant, test: str) -> tuple[int, float]:
        is_quick = self._processor_s.get(test, 0) < 1
        return (-self._kills[file, mutant.function, test] if is_quick else 0, self._processor_s.get(test, 0))

    def _run(
        self, session: pytest.Session, items: dict[str, pytest.Item], file: str, source: bytes, mutant: Mutant
    ) -> dict[str, Any]:
        tests = [test for test in self.tests_for(file, mutant) if test in items]
        found = {"file": file, **asdict(mutant), "new": mutant.new.decode(), "tests": len(tests)}
        if not tests:
            return {**found, "result": UNCOVERED}
        expected_s = sum(self._processor_s.get(test, 0) for test in tests)
        before = processor_s()
        is_in_memory = mutant.function is not None and self._new_code(file, source, mutant) is not None
        temporary = Path(self._plan.work) / f"tmp-{os.getpid()}"
        temporary.mkdir(exist_ok=True)
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            os.setsid()
            limit = int(10 + 5 * expected_s)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            if is_in_memory:
                self._child(session, [items[test] for test in tests], file, source, mutant, temporary, writing)
            self._fresh(tests, temporary, writing)
        os.close(writing)
        result, killer = self._wait(process, reading, WALL_S_MIN + 20 * expected_s)
        shutil.rmtree(temporary, ignore_errors=True)
        if killer is not None:
            self._kills[file, mutant.function, killer] += 1
        spent = round(processor_s() - before, 2)
        return {**found, "result": result, "killer": killer, "processor_s": spent, "in_memory": is_in_memory}

    def _wait(self, process: int, reading: int, wall_s: float) -> tuple[str, str | None]:
        end = time.monotonic() + wall_s
        while (ended := os.waitpid(process, os.WNOHANG))[0] == 0 and time.monotonic() < end:
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        if ended[0] == 0:
            ended = os.waitpid(process, 0)
        said = b""
        os.set_blocking(reading, False)
        with suppress(BlockingIOError):
            said = os.read(reading, 4096)
        os.close(reading)
        if ended[1] != 0 or not said:
            return ENDED, None
        killer = said.decode().strip()
        return (SURVIVED, None) if killer == "-" else (KILLED, killer)

    def _new_code(self, file: str, source: bytes, mutant: Mutant) -> tuple[FunctionType, CodeType] | None:
        module = sys.modules.get(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        function = function_named(module, mutant.function or "") if module is not None else None
        if function is None:
            return None
        flags = function.__code__.co_flags & 0x1000000  # from __future__ import annotations
        whole = compile(mutant.applied(source), str(self._root / file), "exec", flags=flags, dont_inherit=True)
        code = _code_named(whole, mutant.function or "")
        if code is None or code.co_freevars != function.__code__.co_freevars:
            return None
        return function, code

    def _child(
        self,
        session: pytest.Session,
        items: list[pytest.Item],
        file: str,
        source: bytes,
        mutant: Mutant,
        temporary: Path,
        writing: int,
    ) -> None:
        found = self._new_code(file, source, mutant)
        assert found is not None
        found[0].__code__ = found[1]
        factory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        factory._basetemp = temporary
        said = "-"
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._failed_test is not None:
                said = self._failed_test
                break
        os.write(writing, said.encode())
        os._exit(0)

    def _fresh(self, tests: list[str], temporary: Path, writing: int) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "MUTANTS_PLAN"}
        command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=no"]
        command += [f"--basetemp={temporary / 'base'}", *tests]
        ran = subprocess.run(command, cwd=self._root, env=environment, capture_output=True, text=True, check=False)
        lines = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        killer = lines[0].split(" ", 1)[1].split(" - ")[0] if lines else "pytest"
        os.write(writing, b"-" if ran.returncode == 0 else killer.encode())
        os._exit(0)


def pytest_configure(config: pytest.Config) -> None:
    named = os.environ.get("MUTANTS_PLAN")
    if named is None:
        return
    # A mutant is not always a second older or a byte longer than the last one.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    plan = Plan(**json.loads(Path(named).read_text(encoding="utf-8")))
    config.pluginmanager.register(Measuring(plan) if plan.output is None else Mutating(plan), "mutants")
