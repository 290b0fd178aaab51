"""What an auditor asks a partner, until it is answered: one question a partner at a time."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
create table questions (
  partner text primary key, id text not null, question text not null,
  asked_at timestamptz not null, answer text);
comment on table questions is 'What an auditor asks a partner just now, and what it answered.';
grant select, insert, update, delete on questions to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
