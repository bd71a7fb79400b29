"""Worker processes: the jobs they take, the pool that feeds them, and what runs in one."""
