"""The durable queue: transitions, leases, audit trail, and the worker that serves it."""
