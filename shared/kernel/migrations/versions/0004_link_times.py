"""When this office learned how far each message is, so that its way can be told later."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
create table link_times (
  receiver text not null, state text not null check (state in ('sent', 'received', 'applied')),
  sequence bigint not null, at timestamptz not null, primary key (receiver, state, sequence));
comment on table link_times is 'sent, received: all through this number; applied: this one alone,'
  ' which was received and parked before.';
grant select, insert on link_times to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
