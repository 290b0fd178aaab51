"""What the equations came to when they were derived last, so that a page can show it at once."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# json and not jsonb: the sides of an equation keep their order.
TABLES = """
create table equations (
  one boolean primary key default true check (one),
  made_at timestamptz not null, made_by text not null, found json not null);
comment on table equations is 'What the last derivation of the equations found, who had it made'
  ' and when. It proves nothing: whoever doubts it derives anew.';
grant select, insert, update on equations to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
