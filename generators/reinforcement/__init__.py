"""Networks learn from rewards: `objective` is what is followed, `guards` when to stop, `orbit_policy` who draws."""
