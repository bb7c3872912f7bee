"""spec/promises.md names, for each promise, tests that exist, and says what they have tried."""

from __future__ import annotations

import ast
import re
from base64 import b64encode
from pathlib import Path

import pytest

from .promises.page import PAGE, ROOT, ROW, chosen, named, row, rows, sections, title
from .promises.reports import EXAMPLES, read_reports

TEXT = PAGE.read_text(encoding="utf-8")
PROMISES = re.findall(r"^\| (P\d) \| \*\*", TEXT, re.MULTILINE)
NAMED = {name: is_campaign for promise in PROMISES for name, is_campaign in named(promise).items()}


def test_every_promise_of_the_table_has_its_section_in_that_order() -> None:
    assert list(sections()) == PROMISES == [f"P{number}" for number in range(1, 9)]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_tests(promise: str) -> None:
    assert chosen(promise, campaign=False)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_test_that_is_named_exists_and_is_a_campaign_where_the_page_says_so(name: str) -> None:
    file, _, function = name.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    defined = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert function in {*defined, *assigned}, f"{file} has no {function}: name the test that took its place"
    decorators = [ast.unparse(each) for each in defined[function].decorator_list] if function in defined else []
    assert ("pytest.mark.campaign" in decorators) == NAMED[name]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\btests(?:/[\w.]+)+", TEXT))))
def test_a_path_in_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists()


# -- the table of what was tried ---------------------------------------------------------------------------------


def test_each_promise_and_each_campaign_has_a_row_without_a_violation() -> None:
    expected = [
        title(promise, campaign=campaign)
        for promise in PROMISES
        for campaign in (False, True)
        if chosen(promise, campaign=campaign)
    ]
    assert list(rows()) == expected
    for name, found in rows().items():
        match = ROW.fullmatch(found)
        assert match is not None
        assert match[5] == "0", f"{name} is violated"
        assert match[7] == f"python -m tests.promises {name[:2]}{' --campaign' if 'campaign' in name else ''}"


@pytest.mark.parametrize("name", rows())
def test_a_row_says_of_no_more_tests_that_they_ran_than_there_are(name: str) -> None:
    match = ROW.fullmatch(rows()[name])
    assert match is not None
    if match[2] is not None:
        ran, there = (int(number.replace(",", "")) for number in match.group(2, 3))
        assert 0 < ran <= there
        assert there >= len(chosen(name[:2], campaign="campaign" in name))
    assert (match[2] is None) == (match[6] == "not yet")


REPORT = """<testsuites><testsuite timestamp="{day}T10:00:00+00:00"><properties>
<property name="hypothesis-statistics-tests/property/test_a.py::test_b" value="{examples}"/></properties>
<testcase file="tests/property/test_a.py" classname="tests.property.test_a" name="test_b"/>
<testcase file="tests/property/test_a.py" classname="tests.property.test_a.TestC" name="runTest"/>
<testcase file="tests/test_d.py" classname="tests.test_d" name="test_e[1]"><properties><property name="kills"
value="20"/><property name="kills" value="3"/></properties>{outcome}</testcase>
<testcase file="tests/test_d.py" classname="tests.test_d" name="test_e[2]"><skipped/></testcase>
</testsuite></testsuites>"""


def report(folder: Path, day: str, outcome: str = "") -> Path:
    said = b"- during generate phase (0.1 seconds):\n - 99 passing, 1 failing, and 7 invalid test cases\n"
    path = folder / f"{day}.xml"
    path.write_text(REPORT.format(day=day, examples=b64encode(said).decode(), outcome=outcome))
    return path


def test_cases_are_summed_from_reports_and_the_last_one_counts(tmp_path: Path) -> None:
    found = read_reports([report(tmp_path, "2026-01-01", "<failure/>"), report(tmp_path, "2026-01-02")])
    assert found.keys() == {
        "tests/property/test_a.py::test_b",
        "tests/property/test_a.py::TestC::runTest",
        "tests/test_d.py::test_e[1]",
    }
    assert found["tests/property/test_a.py::test_b"].tried == {EXAMPLES: 100}
    assert found["tests/test_d.py::test_e[1]"].tried == {"kills": 23}
    assert not any(each.is_violation for each in found.values())
    assert {each.day for each in found.values()} == {"2026-01-02"}


@pytest.mark.parametrize("outcome", ["<failure/>", "<error/>"])
def test_a_test_that_failed_is_a_violation(tmp_path: Path, outcome: str) -> None:
    found = read_reports([report(tmp_path, "2026-01-01", outcome)])
    assert [test for test, each in found.items() if each.is_violation] == ["tests/test_d.py::test_e[1]"]


def test_a_row_says_how_many_of_the_tests_that_there_are_have_run(tmp_path: Path) -> None:
    name = chosen("P1", campaign=False)[0]
    text = report(tmp_path, "2026-01-01", "<failure/>").read_text()
    file, _, function = name.partition("::")
    text = text.replace("tests/test_d.py", file).replace("tests.test_d", file[:-3].replace("/", "."))
    (tmp_path / "2026-01-01.xml").write_text(text.replace("test_e", function))
    found = read_reports([tmp_path / "2026-01-01.xml"])
    written = row("P1", campaign=False, collected=[f"{name}[{number}]" for number in (1, 2, 3)], outcomes=found)
    assert written == "| P1 | 1 of 3 | 23 kills | 1 | 2026-01-01 | `python -m tests.promises P1` |"
    assert ROW.fullmatch(written)
