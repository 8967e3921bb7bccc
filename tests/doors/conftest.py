"""The matrix is printed at the end of a run, and kept if that is asked for."""

import os
from typing import Any

from tests.doors.matrix import keep, table


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found = [report for kind in terminalreporter.stats.values() for report in kind]
    called = [report for report in found if getattr(report, "when", None) == "call"]  # deselected items have no phases
    cells = [value for report in called for name, value in report.user_properties if name == "cell"]
    if not cells:
        return
    terminalreporter.section("largest relative difference from the float64 reference, after 50 steps")
    for line in table(cells):
        terminalreporter.write_line(line)
    if "STEPWELL_KEEP_MATRIX" in os.environ:
        for line in keep(cells):
            terminalreporter.write_line(line)
