"""When a partner was last heard, what troubles the worker, and unapplied numbers as ranges."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
alter table link_out add column heard_at timestamptz;
comment on column link_out.heard_at is 'When a receipt of the receiver came last.';

alter table link_out add column unapplied_numbers int8multirange not null default '{}';
update link_out set unapplied_numbers = (
  select coalesce(range_agg(int8range(n, n, '[]')), '{}') from unnest(unapplied) as n);
alter table link_out drop column unapplied;
alter table link_out rename column unapplied_numbers to unapplied;
comment on column link_out.unapplied is 'What the receiver has and did not apply, as it says.';

create index on parked (sender, sequence) where settled_as is distinct from 'applied';
create index on outbox (position);

create table worker_troubles (
  name text primary key, says text not null, since timestamptz not null);
comment on table worker_troubles is 'What troubles the active worker, as it says itself.';
grant select, insert, update, delete on worker_troubles to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
