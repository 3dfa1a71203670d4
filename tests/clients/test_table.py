"""The committed results name every test and version that the tree has."""

import pytest

import table
from clients import read_versions


def expected():
    versions, shown = read_versions(), table.titles()
    assert set(versions) == {*shown, "buildkitd"}  # buildctl's daemon
    assert versions["buildkitd"][1] == versions["buildctl"][1]
    return {client: (versions[client][1], list(tests.values()))
            for client, tests in shown.items()}


def test_results_are_those_of_the_tree():
    assert table.split()[1] == table.render(expected()), (
        "run the clients' tests, then tests/clients/table.py")


def test_titles_are_unique_and_short():
    for client, (_, found) in expected().items():
        assert len(set(found)) == len(found), client
        assert all(len(title) < 76 and "|" not in title for title in found)


REPORT = """<testsuites><testsuite><properties>
<property name="crane" value="v9"/></properties>
<testcase classname="tests.clients.test_crane" name="test_list"/>
<testcase classname="tests.clients.test_crane" name="test_copy[image]"/>
<testcase classname="tests.clients.test_crane" name="test_copy[index]">
<{bad}/></testcase>
<testcase classname="tests.integration.test_rules" name="test_delete"/>
</testsuite></testsuites>"""


@pytest.mark.parametrize("bad", ["failure", "error", "skipped"])
def test_a_row_holds_only_what_passed(tmp_path, bad):
    (tmp_path / "report.xml").write_text(REPORT.format(bad=bad))
    assert table.rows_of(tmp_path / "report.xml") == {
        "crane": ("v9", [table.titles()["crane"]["test_list"]])}
