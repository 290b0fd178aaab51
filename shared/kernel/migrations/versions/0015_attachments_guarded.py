"""Whoever deletes a file does not choose which table says that its key is gone."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The running role may have tables of its own, and put them first on its path.
    op.execute("alter function stays_while_its_key_lives() set search_path to public, pg_temp")


def downgrade() -> None:
    raise NotImplementedError("Precious tables are not dropped; restore a backup instead.")
