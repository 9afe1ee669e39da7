"""What is asked of an engine: prompts with their sampling, budgets and shares."""
