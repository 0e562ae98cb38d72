"""Count the tests that did not run, and refuse if one lacked data that are here.

Usage: left_out.py PYTEST_OUTPUT JUNIT_XML
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def main(output: str, junit: str) -> int:
    """Print the counts; the exit status is 1 where a data test was skipped beside its data."""
    cases = list(ElementTree.parse(junit).getroot().iter("testcase"))
    skips = [skipped.get("message", "") for case in cases for skipped in case.iterfind("skipped")]
    found = re.search(r"(\d+) deselected", Path(output).read_text(encoding="utf-8"))
    deselected = int(found.group(1)) if found else 0
    print(f"tests collected {len(cases)}, skipped {len(skips)}, deselected {deselected}")
    for reason, count in Counter(skips).most_common():
        print(f"  skipped {count}: {reason}")
    if not cases:
        print("no test ran")
        return 1
    if os.environ.get("BAYESCALE_DATA") and any(r.startswith("BAYESCALE_DATA") for r in skips):
        print("BAYESCALE_DATA is set, so no test may be skipped for want of it")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
