"""Sphinx's settings for the site (`make docs`, rosdoc2). edgevl_build/docs.py gathers the pages."""

project = "edgevl"
copyright = "the edgevl contributors, Apache-2.0"
html_title = "edgevl"
html_theme = "furo"  # light and dark, nothing loaded from elsewhere
extensions = ["myst_parser"]
myst_heading_anchors = 3  # links to headings, as GitHub makes them
nitpicky = True
html_copy_source = html_show_sphinx = False
