"""Keys with epochs, trusted partners, sealed parts, sessions; and what the running software may do.

The running software has the role `pulang_running`: it appends, and can neither change nor delete
what is precious. Read models are dropped, for the worker to build anew as their owner.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
do $$ begin
  if exists (select from person_keys) then
    raise exception 'This database holds keys of a version that was never released: start anew.';
  end if;
end $$;

drop table person_keys;
create table person_keys (
  subject text primary key,
  epoch integer not null,
  wrapped bytea,
  created_at timestamptz not null default now(),
  destroyed_at timestamptz,
  check ((wrapped is null) = (destroyed_at is not null))
);
create index on person_keys (epoch) where wrapped is not null;
comment on table person_keys is 'A key a person, or a paper''s texts, wrapped by the office key of
  its epoch. Destroyed: wrapped is null. Back up apart from the events, and anew after each epoch.';

create table office_keys (
  key_id text primary key,
  purpose text not null check (purpose in ('signing', 'sealing', 'index')),
  epoch integer not null,
  public bytea,
  wrapped bytea not null,
  state text not null check (state in ('next', 'current', 'retired')),
  created_at timestamptz not null default now()
);
create unique index on office_keys (purpose, state)
  where purpose = 'signing' and state in ('next', 'current');

create table trusted_keys (
  office text not null,
  key_id text not null,
  public bytea not null,
  trusted_at timestamptz not null default now(),
  trusted_by text not null,
  revoked_at timestamptz,
  revoked_by text,
  primary key (office, key_id)
);

create table identity_index (
  person text not null,
  kind text not null,
  epoch integer not null,
  digest bytea not null,
  sealed text not null,
  primary key (person, kind)
);
create index on identity_index (digest);
comment on table identity_index is 'Blind index: HMACs under the index key of an epoch.';

alter table log_head add column key_epoch integer not null default 0;
alter table outbox add column personal jsonb;
alter table inbox add column frame bytea;
alter table link_in add column recent bytea[] not null default '{}';
alter table link_out add column sealing_epoch integer, add column sealing_key bytea,
  add column sealing_by text;
alter table requests add column digest_epoch integer not null default 0;

alter table staff alter column password_hash drop not null;
alter table staff alter column token_digest drop not null;
alter table staff add column token_expires_at timestamptz, add column oidc_subject text unique,
  add column changed_at timestamptz not null default now();

create table staff_totp (
  username text primary key references staff (username),
  epoch integer not null,
  wrapped bytea not null,
  last_step bigint not null default 0
);

create table sessions (
  digest bytea primary key,
  username text not null references staff (username),
  csrf_digest bytea not null,
  created_at timestamptz not null,
  seen_at timestamptz not null,
  ends_at timestamptz not null
);
create index on sessions (username);

create table sign_in_failures (
  account bytea primary key,
  failures integer not null,
  locked_until timestamptz not null
);
comment on table sign_in_failures is 'By digest of the name that was tried, known or not.';
"""

RIGHTS = """
do $$ begin
  if not exists (select from pg_roles where rolname = 'pulang_running') then
    create role pulang_running nologin;
  end if;
end $$;
create function stays_so() returns trigger language plpgsql as $$
begin raise insufficient_privilege using message = 'what was destroyed or revoked stays so'; end $$;
create trigger a_destroyed_key_stays_destroyed before update on person_keys
  for each row when (old.destroyed_at is not null) execute function stays_so();
create trigger a_revoked_key_stays_revoked before update on trusted_keys
  for each row when (old.revoked_at is not null) execute function stays_so();
grant usage on schema public to pulang_running;
grant select on all tables in schema public to pulang_running;
grant insert on events, outbox, inbox, requests, parked, link_in, link_out, projections,
  person_keys, trusted_keys, staff to pulang_running;
grant update on log_head, link_in, link_out, projections to pulang_running;
grant update (times) on parked to pulang_running;
grant update (epoch, wrapped, destroyed_at) on person_keys to pulang_running;
grant delete on person_keys to pulang_running;
alter table person_keys enable row level security;
create policy everything_is_seen on person_keys for select using (true);
create policy keys_are_added on person_keys for insert with check (true);
create policy keys_are_moved on person_keys for update using (true);
-- A person's row stays, so that nobody draws her another key; a paper's may begin again.
create policy keys_of_papers_end on person_keys for delete using (subject not like 'PM-%');
grant update (revoked_at, revoked_by) on trusted_keys to pulang_running;
grant update (roles, password_hash, token_digest, token_expires_at, oidc_subject, active,
  changed_at) on staff to pulang_running;
grant insert, update, delete on office_keys, identity_index, staff_totp, sessions,
  sign_in_failures to pulang_running;
"""

READ_MODELS = """
do $$ declare one text; begin
  for one in select nspname from pg_namespace where nspname like 'rm\\_%' loop
    execute format('drop schema %I cascade', one);
  end loop;
end $$;
delete from projections;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(RIGHTS)
    op.execute(READ_MODELS)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
