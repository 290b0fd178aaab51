"""The one page there is so far: what a member of staff may read here, each with its address.

It works without JavaScript and loads nothing. Its title says nothing of what the office does.
"""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment

from shared.runtime.manifest import ReadRoute

_HOME = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="id">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="robots" content="noindex">
  <title>Pulang</title>
</head>
<body>
  <h1>{{ office }}</h1>
  <p>Yang dapat Anda baca di sini, sebagai JSON.
  Uraian lengkap: <a href="/openapi.json">/openapi.json</a></p>
  <ul>
  {% for read in reads %}
    {% if "{" in read.path %}
    <li>{{ read.summary }}: <code>{{ prefix }}{{ read.path }}</code></li>
    {% else %}
    <li><a href="{{ prefix }}{{ read.path }}">{{ read.summary }}</a></li>
    {% endif %}
  {% endfor %}
  </ul>
</body>
</html>
""")


def home(office: str, prefix: str, reads: Sequence[ReadRoute]) -> str:
    """The page for one member of staff, as HTML."""
    return _HOME.render(office=office, prefix=prefix, reads=reads)
