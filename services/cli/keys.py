"""`pulang keys`: the office's keys, and whom it trusts."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.command import (
    CouldNotRun,
    JsonFlag,
    console,
    operator,
    print_json,
    read_settings,
    with_keyring,
)
from services.cli.processes import draw_keys
from shared.kernel import rotation
from shared.kernel.keyring import Keyring
from shared.runtime import status as statuses

app = typer.Typer(no_args_is_help=True, help="The office's keys, and whom it trusts.")


@app.command("init")
def keys_init() -> None:
    """Draw this office's first keys. Does nothing where it has some."""
    drawn = draw_keys(read_settings())
    console.print("Keys drawn." if drawn else "This office has keys already.")


@app.command("rotate")
def keys_rotate(
    prepare_signing: Annotated[
        bool, typer.Option(help="Draw the next signing key, for partners to trust beforehand.")
    ] = False,
    switch_signing: Annotated[
        bool, typer.Option(help="Sign with the prepared key; partners must trust it by now.")
    ] = False,
) -> None:
    """Open a new key epoch: every living key is wrapped anew, the old epoch destroyed.

    Make a new backup of the key tables and of the key file after it: older ones open nothing.
    """

    async def work(keyring: Keyring) -> str:
        await keyring.refresh()
        if prepare_signing:
            key_id = await rotation.prepare_signing(keyring)
            return f"Signing key {key_id} is prepared: export it, and have partners trust it."
        if switch_signing:
            switched = await rotation.switch_signing(keyring)
            if switched is None:
                raise CouldNotRun("no signing key is prepared: --prepare-signing comes first.")
            return f"This office signs with {switched} now; partners can revoke the old one."
        return f"Key epoch {await rotation.rotate(keyring)}: back up keys anew, now."

    console.print(with_keyring(work), highlight=False)


@app.command("list")
def keys_list(as_json: JsonFlag = False) -> None:
    """This office's keys, by purpose and epoch, and the partners' keys that it trusts."""

    async def work(keyring: Keyring) -> dict[str, Any]:
        return await statuses.keys(keyring)

    found = with_keyring(work)
    if as_json:
        print_json(found)
        return
    own = Table("key", "purpose", "epoch", "state", "since", title=f"Epoch {found['epoch']}")
    for row in found["keys"]:
        own.add_row(*(str(row[name]) for name in ("key_id", "purpose", "epoch", "state", "since")))
    trusted = Table("office", "key", "trusted", "by", "revoked", title="Partners")
    for row in found["trusted"]:
        names = ("office", "key_id", "trusted_at", "trusted_by", "revoked_at")
        trusted.add_row(*(str(row[name] or "") for name in names))
    console.print(own, trusted)


@app.command("export-public")
def keys_export_public() -> None:
    """Print this office's note verifier keys, a line each: what partners are to trust."""

    async def work(keyring: Keyring) -> list[tuple[str, str]]:
        return await keyring.public()

    lines = with_keyring(work)
    if not lines:
        raise CouldNotRun("this office has no keys yet: run `pulang keys init`.")
    for _, line in lines:
        sys.stdout.write(line + "\n")


@app.command("trust")
def keys_trust(
    partner: Annotated[str, typer.Argument(help="The partner's office code.")],
    key: Annotated[
        str, typer.Argument(help="Its verifier key, `-` for lines from standard input.")
    ] = "-",
    revoke: Annotated[
        bool, typer.Option(help="KEY is a key id: trust it no more, for good.")
    ] = False,
) -> None:
    """Trust a partner's signing key; compare it with the partner by another way first."""
    by = operator()
    settings = read_settings()
    if partner not in settings.partners:
        raise CouldNotRun(f"{partner} is no partner of office {settings.office}.")
    lines = [one for one in sys.stdin.read().splitlines() if one] if key == "-" else [key]

    async def work(keyring: Keyring) -> list[str]:
        if revoke:
            return [one for one in lines if await keyring.revoke(partner, one, by)]
        return [await keyring.trust(partner, one, by) for one in lines]

    done = with_keyring(work)
    if not done:
        raise CouldNotRun("no such key is trusted." if revoke else "no key was given.")
    word = "revoked" if revoke else "trusted"
    for key_id in done:
        console.print(f"Office {settings.office}: key {key_id} of {partner} {word}.")
