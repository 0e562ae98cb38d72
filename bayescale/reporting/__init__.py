"""One page that says what was fitted, what it answers, and how far that may be trusted."""

from bayescale.reporting.making import report as report
