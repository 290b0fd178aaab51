"""The precious tables: log, head, outbox, inbox, links, parked, requests, staff."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
create table events (
  position bigint primary key check (position > 0),
  stream text not null,
  version integer not null check (version > 0),
  id text not null unique,
  type text not null,
  occurred_at timestamptz not null,
  recorded_at timestamptz not null,
  actor text not null,
  correlation text not null,
  body bytea not null,
  unique (stream, version)
);
comment on table events is 'The log. body is the exact CloudEvents document; the rest are copies.';

create table log_head (
  one boolean primary key default true check (one),
  size bigint not null,
  frontier bytea not null,
  outgoing jsonb not null,
  office text
);
comment on table log_head is 'Size, RFC 9162 frontier, last sequence of each link, whose it is.';
insert into log_head (size, frontier, outgoing) values (0, '', '{}');

create table outbox (
  receiver text not null,
  sequence bigint not null check (sequence > 0),
  position bigint not null,
  body bytea not null,
  primary key (receiver, sequence)
);

create table link_out (
  receiver text primary key,
  sent_through bigint not null default 0,
  confirmed_through bigint not null default 0,
  confirmed_at timestamptz
);

create table link_in (
  sender text primary key,
  applied_through bigint not null,
  applied_at timestamptz not null
);

create table inbox (
  sender text not null,
  sequence bigint not null check (sequence > 0),
  body bytea not null,
  received_at timestamptz not null,
  primary key (sender, sequence)
);

create table parked (
  id bigint generated always as identity primary key,
  sender text not null,
  sequence bigint,
  reason text not null,
  detail text not null,
  raw bytea not null,
  digest bytea not null,
  times integer not null default 1,
  parked_at timestamptz not null,
  unique (sender, digest)
);

create table requests (
  actor text not null,
  key text not null,
  digest bytea not null,
  response jsonb not null,
  recorded_at timestamptz not null,
  primary key (actor, key)
);

create table person_keys (
  person text primary key,
  wrapped bytea not null,
  created_at timestamptz not null default now()
);
comment on table person_keys is 'Each person''s key, wrapped by the office key. Back up apart.';

create table staff (
  username text primary key,
  roles text[] not null,
  password_hash text not null,
  token_digest bytea not null unique,
  active boolean not null default true,
  created_at timestamptz not null default now()
);

create table projections (
  name text primary key,
  version integer not null,
  position bigint not null,
  updated_at timestamptz not null default now()
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
