"""The few pages there are: signing in, the password, and what a member of staff may read here.

They work without JavaScript, load one small style sheet of ours, and have a title that says
nothing of what the office does: it may stand open on a screen that others see.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request
from jinja2 import DictLoader, Environment

from shared.runtime.gate import csrf_token
from shared.runtime.manifest import ReadRoute

_BASE = """\
<!doctype html>
<html lang="id">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="robots" content="noindex">
  {% if onward %}
  <meta http-equiv="refresh" content="0; url={{ onward }}">
  {% endif %}
  <title>Pulang</title>
  <link rel="stylesheet" href="/static/pulang.css">
</head>
<body>
<main>
  <h1>{{ heading }}</h1>
  {% if notice %}
  <p class="notice" role="alert">{{ notice }}</p>
  {% endif %}
{% block content %}{% endblock %}
</main>
</body>
</html>
"""

_SIGN_IN = """\
{% extends "base" %}
{% block content %}
  <form method="post" action="/masuk">
    <input type="hidden" name="csrf" value="{{ csrf }}">
    <label for="username">Nama pengguna</label>
    <input id="username" name="username" autocomplete="username" autocapitalize="none"
      spellcheck="false" maxlength="256" required>
    <label for="password">Kata sandi</label>
    <input id="password" name="password" type="password" autocomplete="current-password"
      maxlength="1024" required>
    <label for="code">Kode sekali pakai</label>
    <p class="hint" id="code-hint">Enam angka dari aplikasi autentikator. Kosongkan bila akun Anda
    tidak memakainya.</p>
    <input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="16"
      aria-describedby="code-hint">
    <button type="submit">Masuk</button>
  </form>
  {% if with_oidc %}
  <p><a class="link" href="/masuk/oidc">Masuk dengan akun instansi</a></p>
  {% endif %}
{% endblock %}
"""

_CODE = """\
{% extends "base" %}
{% block content %}
  <form method="post" action="/masuk/oidc">
    <input type="hidden" name="csrf" value="{{ csrf }}">
    <label for="code">Kode sekali pakai</label>
    <p class="hint" id="code-hint">Enam angka dari aplikasi autentikator.</p>
    <input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="16"
      aria-describedby="code-hint" required>
    <button type="submit">Lanjutkan</button>
  </form>
{% endblock %}
"""

_RENEWAL = """\
{% extends "base" %}
{% block content %}
  <form method="post" action="/kata-sandi">
    <input type="hidden" name="csrf" value="{{ csrf }}">
    <label for="current">Kata sandi sekarang</label>
    <input id="current" name="current" type="password" autocomplete="current-password"
      maxlength="1024" required>
    <label for="new">Kata sandi baru</label>
    <p class="hint" id="new-hint">Paling sedikit 15 karakter, misalnya beberapa kata yang tidak
    berkaitan. Setelah diganti, Anda masuk lagi di semua perangkat.</p>
    <input id="new" name="new" type="password" autocomplete="new-password" maxlength="1024"
      aria-describedby="new-hint" required>
    <button type="submit">Ganti kata sandi</button>
  </form>
  <p><a class="link" href="/">Kembali</a></p>
{% endblock %}
"""

_ONWARD = """\
{% extends "base" %}
{% block content %}
  <p><a class="link" href="{{ address }}">Lanjutkan</a></p>
{% endblock %}
"""

_HOME = """\
{% extends "base" %}
{% block content %}
  <p>Yang dapat Anda baca di sini, sebagai JSON.
  Uraian lengkap: <a href="/openapi.json">/openapi.json</a></p>
  <ul>
  {% for read in reads %}
    {% if "{" in read.address %}
    <li>{{ read.summary }}: <code>{{ prefix }}{{ read.address }}</code></li>
    {% else %}
    <li><a href="{{ prefix }}{{ read.path }}">{{ read.summary }}</a></li>
    {% endif %}
  {% endfor %}
  </ul>
  {% if csrf %}
  <p><a class="link" href="/kata-sandi">Ganti kata sandi</a></p>
  <form method="post" action="/keluar">
    <input type="hidden" name="csrf" value="{{ csrf }}">
    <button type="submit">Keluar</button>
    <button type="submit" name="everywhere" value="1" class="quiet">Keluar dari semua
    perangkat</button>
  </form>
  {% endif %}
{% endblock %}
"""

_PAGES = Environment(
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    loader=DictLoader(
        {
            "base": _BASE,
            "sign_in": _SIGN_IN,
            "code": _CODE,
            "password": _RENEWAL,
            "onward": _ONWARD,
            "home": _HOME,
        }
    ),
)


def home(request: Request, office: str, prefix: str, reads: Sequence[ReadRoute]) -> str:
    """The page for one member of staff, as HTML."""
    return _PAGES.get_template("home").render(
        heading=office, prefix=prefix, reads=reads, csrf=csrf_token(request)
    )


def sign_in(csrf: str, notice: str = "", *, with_oidc: bool = False) -> str:
    """The form for username, password and code; a notice above it says what was the matter."""
    return _PAGES.get_template("sign_in").render(
        heading="Masuk", csrf=csrf, notice=notice, with_oidc=with_oidc
    )


def code(csrf: str, notice: str = "") -> str:
    """The form for the code alone, after another place has asked for the password."""
    return _PAGES.get_template("code").render(heading="Masuk", csrf=csrf, notice=notice)


def password(request: Request, notice: str = "") -> str:
    """The form for a new password."""
    return _PAGES.get_template("password").render(
        heading="Kata sandi", csrf=csrf_token(request), notice=notice
    )


def onward(address: str) -> str:
    """A page that leads on at once.

    A browser that comes from another site does not send a strict cookie along, not even after a
    redirect. It does where a page of ours leads on.
    """
    return _PAGES.get_template("onward").render(
        heading="Anda sudah masuk", onward=address, address=address
    )


def notice(words: str, address: str) -> str:
    """A page that says what was the matter, and leads back."""
    return _PAGES.get_template("onward").render(heading="Masuk", notice=words, address=address)
