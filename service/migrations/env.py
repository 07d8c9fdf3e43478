"""Alembic's entry: runs the migrations on the connection that `service.storage` hands over."""

from alembic import context

from service.storage import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # Optuna and MLflow keep Alembic's usual table for themselves, maybe in the same database.
    version_table="npl_alembic_version",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
