"""Checkpoints, the tiles that they are proven from, and what partners witness of each other."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
create table tiles (
  level integer not null, index bigint not null, hashes bytea not null, root bytea not null,
  primary key (level, index));
comment on table tiles is 'Full tiles of the log''s Merkle tree; derived from events.';
create table checkpoints (
  size bigint primary key check (size > 0), note text not null, made_at timestamptz not null);
comment on table checkpoints is 'This office''s own, as signed notes.';
create table cosignatures (
  office text not null, size bigint not null, note text not null, received_at timestamptz not null,
  primary key (office, size));
comment on table cosignatures is 'This office''s own, as its partners cosigned them.';
alter table link_out add column witnessed bigint not null default 0,
  add column forked boolean not null default false;
comment on column link_out.witnessed is 'How many events of this log the receiver has kept.';
create table witnessed (
  id bigint generated always as identity primary key, office text not null, size bigint not null,
  note text not null, witnessed_at timestamptz not null);
create index on witnessed (office, id desc);
comment on table witnessed is 'Partners'' checkpoints that this office has verified and cosigned.';
create table forks (
  id bigint generated always as identity primary key, office text not null, detail text not null,
  kept text not null, came text not null, came_size bigint not null,
  found_at timestamptz not null, settled_at timestamptz, settled_by text);
create unique index on forks (office) where settled_at is null;
comment on table forks is 'Partners whose history is not what this office has witnessed.';
create trigger what_is_settled_stays_settled before update on forks for each row
  when (old.settled_at is not null) execute function stays_so();
create table retired_keys (
  key_id text primary key, public bytea not null, retired_at timestamptz not null default now());
comment on table retired_keys is 'Signing keys of before, without their secret: what they signed'
  ' stays signed.';
grant select, insert on tiles, checkpoints, cosignatures, witnessed, forks, retired_keys
  to pulang_running;
grant update (settled_at, settled_by) on forks to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
