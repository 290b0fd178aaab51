"""Which codes each block of the log names; the worker fills it, for what is there already too."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
create table named (block bigint primary key check (block >= 0), codes text[] not null);
comment on table named is 'The codes that each 256 events name; derived from events.';
create index on named using gin (codes) with (fastupdate = off);
grant select, insert on named to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
