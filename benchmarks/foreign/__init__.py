"""Clients that are not Python: built here, run as processes, told their job as KEY=VALUE words."""
