"""What was kept is numbered, chained and counted; whom the office trusts is kept act by act."""

from alembic import op
from sqlalchemy import text

from shared.kernel.kept import COUNTED, chained

revision = "0011"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
create table trust_acts (
  id bigint generated always as identity primary key,
  act text not null check (act in ('trusted', 'revoked', 'retired')), office text not null,
  key_id text not null, public text not null, by text not null, at timestamptz not null);
comment on table trust_acts is 'Each key of a partner that was trusted or revoked, and each own one'
  ' that was retired; the keys in trusted_keys and retired_keys are held against it.';
insert into trust_acts (act, office, key_id, public, by, at)
select * from (select 'retired', '', key_id, encode(public, 'hex'), '', retired_at as at
    from retired_keys
  union all select 'trusted', office, key_id, encode(public, 'hex'), trusted_by, trusted_at
    from trusted_keys
  union all select 'revoked', office, key_id, encode(public, 'hex'), revoked_by, revoked_at
    from trusted_keys where revoked_at is not null) as before order by at;
create table kept (
  name text primary key, number bigint not null default 0, chain bytea not null default '',
  key_id text not null default '', signature bytea not null default '');
comment on table kept is 'How many rows a table ever had, and the hash of the last, signed.';
alter table link_out add column answered bigint not null default 0;
comment on column link_out.answered is 'Which receipt of this office the receiver took in last, by'
  ' the time in it.';
grant select, insert on trust_acts to pulang_running;
grant select, update on kept to pulang_running;
"""
ORDERS = {
    "checkpoints": "size",
    "cosignatures": "received_at, office, size",
    "witnessed": "id",
    "forks": "id",
    "trust_acts": "id",
}


def upgrade() -> None:
    op.execute(TABLES)
    bind = op.get_bind()
    for table, order in ORDERS.items():
        op.execute(f"alter table {table} add column number bigint, add column chain bytea")
        number, chain = 0, b""
        columns = ", ".join(COUNTED[table])
        for place, *values in bind.execute(
            text(f"select ctid::text, {columns} from {table} order by {order}")  # noqa: S608
        ).fetchall():
            number += 1
            chain = chained(chain, table, number, values)
            bind.execute(
                text(f"update {table} set number = :n, chain = :c where ctid = :p ::tid"),  # noqa: S608
                {"n": number, "c": chain, "p": place},
            )
        op.execute(f"create index on {table} (number)")
        bind.execute(
            text("insert into kept (name, number, chain) values (:t, :n, :c)"),
            {"t": table, "n": number, "c": chain},
        )


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
