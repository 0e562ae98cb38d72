"""Where runs live: files, frames and experiment trackers, each read into one plain table."""

from __future__ import annotations

from bayescale.sources.found import Found as Found
from bayescale.sources.recognise import FORMATS as FORMATS
from bayescale.sources.recognise import read_source as read_source
