"""Alembic's environment for the precious tables of one office."""

from alembic import context
from sqlalchemy import create_engine, pool, text

engine = create_engine(
    context.config.get_main_option("sqlalchemy.url") or "", poolclass=pool.NullPool
)
with engine.connect() as connection:
    # Two processes that start together must not both migrate.
    connection.execute(text("select pg_advisory_xact_lock(53710001)"))
    # The running role may make schemas; none of them may stand before the owner's own tables.
    connection.execute(text("set local search_path to public, pg_temp"))
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
