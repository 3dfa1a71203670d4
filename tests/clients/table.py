#!/usr/bin/python3
"""The table of README.md beside this file: which client passed what.

    tests/clients/table.py PYTEST.XML

rewrites it from the report of a run.  A row holds the version that the run
drove, and the first line of the docstring of each test that passed in all its
forms.  test_table.py compares it with the tests and versions of the tree.
"""

import ast
import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

FOLDER = pathlib.Path(__file__).resolve().parent
README = FOLDER / "README.md"
BEGIN, END = "<!-- made by table.py -->\n", "<!-- end -->\n"


def titles():
    """client -> {test function: what it shows}, as the sources have them."""
    found = {}
    for path in sorted(FOLDER.glob("test_*.py")):
        client = path.stem[len("test_"):]
        if client == "table":
            continue
        found[client] = {
            node.name: ast.get_docstring(node).splitlines()[0]
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef)
            and node.name.startswith("test_")}
    return found


def render(rows):
    """rows: client -> (version, list of titles)."""
    lines = ["| client | version | what passed |", "|---|---|---|"]
    lines += [f"| {client} | {version} | {'<br>'.join(passed)} |"
              for client, (version, passed) in rows.items()]
    return "\n".join(lines) + "\n"


def split():
    """README.md as (text before, table, text after)."""
    before, begin, rest = README.read_text().partition(BEGIN)
    table, end, after = rest.partition(END)
    assert begin and end, f"{README} has lost its marks"
    return before + begin, table, end + after


def rows_of(report):
    """What a report of pytest says: client -> (version, titles that passed)."""
    root = xml.parse(report).getroot()
    versions = {one.get("name"): one.get("value")
                for one in root.iter("property")}
    good = collections.defaultdict(lambda: True)
    for case in root.iter("testcase"):
        found = re.fullmatch(r"(?:.*\.)?clients\.test_(\w+)",
                             case.get("classname"))
        if found:
            name = case.get("name").partition("[")[0]
            bad = any(case.find(kind) is not None
                      for kind in ("failure", "error", "skipped"))
            good[found[1], name] &= not bad
    return {client: (versions[client],
                     [title for name, title in tests.items()
                      if (client, name) in good and good[client, name]])
            for client, tests in titles().items() if client in versions}


def main():
    before, _, after = split()
    README.write_text(before + render(rows_of(sys.argv[1])) + after)


if __name__ == "__main__":
    main()
