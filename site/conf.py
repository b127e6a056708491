"""Sphinx: the lessons as pages from their stored outputs. `lessons.py` prepares the sources and calls it."""

project = "w2vlearn"
html_title = "w2vlearn: the lessons"
copyright = "the authors of w2vlearn, MIT licence"
extensions = ["myst_nb"]
exclude_patterns = ["_build"]

nb_execution_mode = "off"  # what is stored is what was tested; nothing runs here
nb_ipywidgets_js = {}  # the widget manager would come from elsewhere
myst_heading_anchors = 3
myst_heading_slug_func = "lessons.anchor"
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]
smartquotes = False  # the prose is the notebooks' own, to the letter

html_theme = "furo"
html_static_path = ["lessons.css", "lessons.js"]
html_css_files = ["lessons.css"]
html_js_files = ["lessons.js"]
templates_path = ["templates"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_search_summary = False  # it fetches pages, which file:// forbids
