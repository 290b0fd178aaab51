"""Parked messages wait in order within one person's affairs, and are settled on the record."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
alter table parked add column affairs text[] not null default '{}', add column personal jsonb,
  add column tries integer not null default 1, add column settled_at timestamptz,
  add column settled_as text check (settled_as in ('applied', 'discarded')),
  add column settled_by text;
alter table link_out add column unapplied bigint[] not null default '{}';
comment on column link_out.unapplied is 'What the receiver has and did not apply, as it says.';
create index on parked (sender, sequence) where settled_at is null;
comment on column parked.affairs is 'Whose affairs it is about: later messages of theirs wait.';
create trigger what_is_settled_stays_settled before update on parked for each row
  when (old.settled_at is not null and (new.settled_at is distinct from old.settled_at
    or new.settled_as is distinct from old.settled_as)) execute function stays_so();
grant update (reason, detail, tries, settled_at, settled_as, settled_by) on parked
  to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
