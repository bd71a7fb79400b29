"""The store: its database, tables, migrations, and the patience with a server that is away."""
