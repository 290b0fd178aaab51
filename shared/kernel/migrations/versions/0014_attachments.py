"""Files about a person, sealed under her key: put in with their event, gone with the key."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = """
create table attachments (
  sha256 text primary key, person text not null, sealed bytea not null);
create index on attachments (person);
comment on table attachments is 'Files about a person, sealed under her key, by the SHA-256 of the'
  ' sealed bytes that an event names. A row goes only where her key is destroyed.';
create function stays_while_its_key_lives() returns trigger language plpgsql as $$
begin
  if not exists (select from person_keys where subject = old.person and destroyed_at is not null)
  then
    raise insufficient_privilege using message = 'a file stays as long as the key of its person';
  end if;
  return old;
end $$;
create trigger a_file_stays_while_its_key_lives before delete on attachments
  for each row execute function stays_while_its_key_lives();
grant select, insert, delete on attachments to pulang_running;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
