"""The table of requirements names tests that are there."""

import ast
import re

import pytest

from conftest import TOP
from content import SETS
from requirements import APIS, BEYOND, DATA, SPECIFICATION

TESTS = TOP / "tests"
ROWS = {**{f"api {name}": tests for name, tests in APIS.items()},
        **{f"data {name}": tests for name, tests in DATA.items()},
        **{f"{section}: {what}": tests
           for section, _, what, tests in SPECIFICATION}, **BEYOND}


def functions(module):
    """The tests of a module, in Python or in C."""
    folder, _, name = module.rpartition("/")
    if folder.startswith("unit"):
        text = (TESTS / folder / f"{name}.c").read_text()
        return re.findall(r"cmocka_unit_test\w*\((\w+)", text)
    text = (TESTS / (folder or "conformance") / f"{name}.py").read_text()
    return [node.name for node in ast.parse(text).body
            if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("row", ROWS)
def test_is_shown_by_tests_that_are_there(row):
    assert ROWS[row] and len(set(ROWS[row])) == len(ROWS[row])
    for name in ROWS[row]:
        module, _, function = name.rpartition(".")
        assert function.startswith("test_")
        assert function in functions(module), name


def test_no_row_is_lost():
    assert len(ROWS) == \
        len(APIS) + len(DATA) + len(SPECIFICATION) + len(BEYOND)
    assert {level for _, level, _, _ in SPECIFICATION} == \
        {"MUST", "SHOULD", "MAY"}
    assert not set(DATA) & set(SETS)
