"""A log that was restored is held until it is compared with what partners have of it."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
alter table log_head add column restored_at timestamptz,
  add column restored_size bigint not null default 0, add column given_up bigint not null default 0;
comment on column log_head.restored_at is 'Restored from a backup then, and not compared yet.';
comment on column log_head.given_up is 'So many events, as partners witnessed them, were given up.';
alter table link_out add column said_at bigint not null default 0,
  add column applied_there bigint not null default 0;
comment on column link_out.said_at is 'When the receiver said so, in microseconds by its clock.';
comment on column link_out.applied_there is 'Through which number it has applied, as it says.';
create index on cosignatures (size);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
