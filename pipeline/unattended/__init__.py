"""Campaigns that run by themselves: Prefect, schedules, and who is told."""
