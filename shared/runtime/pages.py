"""The few pages beside the screens: signing in, the password, and what may be read here as JSON.

They work without JavaScript, load one small style sheet of ours, and have a title that says
nothing of what the office does: it may stand open on a screen that others see.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from shared.runtime.gate import csrf_token
from shared.runtime.manifest import ReadRoute
from shared.runtime.screens.rendering import plain


def home(request: Request, office: str, prefix: str, reads: Sequence[ReadRoute]) -> str:
    """The page for one member of staff, as HTML."""
    return plain("home.html", office=office, prefix=prefix, reads=reads, csrf=csrf_token(request))


def sign_in(csrf: str, notice: str = "", *, with_oidc: bool = False) -> str:
    """The form for username, password and code; a notice above it says what was the matter."""
    return plain("sign_in.html", csrf=csrf, notice=notice, with_oidc=with_oidc)


def code(csrf: str, notice: str = "") -> str:
    """The form for the code alone, after another place has asked for the password."""
    return plain("code.html", csrf=csrf, notice=notice)


def password(request: Request, notice: str = "") -> str:
    """The form for a new password."""
    return plain("password.html", csrf=csrf_token(request), notice=notice)


def onward(address: str) -> str:
    """A page that leads on at once.

    A browser that comes from another site does not send a strict cookie along, not even after a
    redirect. It does where a page of ours leads on.
    """
    return plain("onward.html", onward=address, address=address)


def notice(words: str, address: str) -> str:
    """A page that says what was the matter, and leads back."""
    return plain("onward.html", notice=words, address=address)
