"""Services on this machine: the supervisor and what it starts."""
