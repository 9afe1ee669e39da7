"""Which jobs are wanted: demand, standing orders, quotas and seed documents."""
