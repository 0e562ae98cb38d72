"""How the site is built: `python -m sphinx -W -b html docs docs/_build/html` (extra `[docs]`)."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bayescale  # noqa: E402

project = "bayescale"
author = copyright = "the bayescale authors"
version = release = bayescale.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generate"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "bayescale"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
nb_execution_mode = "off"  # notebooks are run by .ci/run, and shown here as they were stored
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # the docstrings say it in words
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
html_math_renderer = "mathml"
suppress_warnings = ["mystnb.unknown_mime_type"]
