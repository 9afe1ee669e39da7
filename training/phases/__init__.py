"""Phases: their recipes, schedules, and how a phase is bound to a run."""
