"""What an office had before its rows were counted is counted as it then is, and signed once."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from psycopg_pool import AsyncConnectionPool

from shared.kernel import rotation
from shared.kernel.kept import COUNTED, keep
from shared.kernel.keyring import Keyring
from shared.kernel.migrate import MIGRATIONS, migrate
from shared.runtime.audit.faults import Faults
from shared.runtime.audit.kept import KeptCheck
from tests.conftest import make_keyring
from tests.kernel.counter import NOW
from tests.servers import Servers

BEFORE = """
insert into checkpoints select n, 'catatan ' || n, now() from generate_series(1, 3) n;
insert into cosignatures select '35', n, 'catatan ' || n, now() from generate_series(1, 3) n;
insert into witnessed (office, size, note, witnessed_at)
  select '35', n, 'catatan ' || n, now() from generate_series(1, 3) n;
insert into forks (office, detail, kept, came, came_size, found_at, settled_at, settled_by)
  values ('35', 'dua riwayat', '', '', 0, now(), now(), 'uji');
insert into trusted_keys (office, key_id, public, trusted_by, revoked_at, revoked_by)
  values ('35', 'a', decode(repeat('ab', 32), 'hex'), 'uji', now(), 'uji'),
    ('53', 'b', decode(repeat('cd', 32), 'hex'), 'uji', null, null);
"""


def up_to(owner: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option(
        "sqlalchemy.url", owner.replace("postgresql://", "postgresql+psycopg://")
    )
    command.upgrade(config, revision)


async def faults(pool: AsyncConnectionPool, keyring: Keyring) -> list[str]:
    found = Faults()
    async with pool.connection() as connection, connection.transaction():
        await KeptCheck(connection, keyring, found).check({"1"})
    return [f"{one.table}, {one.place}: {one.words}" for one in found.kept]


async def test_rows_from_before_they_were_counted_are_counted(
    servers: Servers, tmp_path: Path
) -> None:
    servers._create("counted_before", "template0")
    owner = servers._url("counted_before")
    up_to(owner, "0008")
    with psycopg.connect(owner) as connection:
        connection.execute(BEFORE)
    migrate(owner)
    async with AsyncConnectionPool(owner, min_size=1) as pool:
        keyring = await make_keyring(pool, tmp_path, "53.71")
        assert await faults(pool, keyring) == []
        async with pool.connection() as connection:
            await connection.execute("update kept set signature = '', key_id = ''")
        unsigned = await faults(pool, keyring)
        assert len(unsigned) == len(COUNTED)
        await rotation.count(keyring)
        assert await faults(pool, keyring) == []
        async with pool.connection() as connection, connection.transaction():
            row = ("35", 4, "catatan 4", NOW)
            assert await keep(connection, "53.71", keyring.sign, "witnessed", row)
            # What is there already is not counted twice.
            row = ("35", 3, "catatan 3", NOW)
            assert not await keep(connection, "53.71", keyring.sign, "cosignatures", row)
        assert await faults(pool, keyring) == []
        async with pool.connection() as connection:
            await connection.execute("delete from witnessed where size = 2")
        await rotation.count(keyring)
        assert await faults(pool, keyring) == [
            "witnessed, row 2 to 2: what was kept was taken away"
        ]
