"""Sphinx configuration: Markdown and notebooks by MyST, API pages from docstrings."""

from importlib import metadata

project = "posegen"
author = "The posegen developers"
version = release = metadata.version("posegen")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are stored with their outputs: `make notebooks`
html_theme = "furo"
html_title = f"posegen {release}"
html_static_path: list[str] = []
exclude_patterns = ["_build"]
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Docstrings are Markdown-like: single backquotes name code.
default_role = "code"
