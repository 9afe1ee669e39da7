"""Engines that answer prompts: any OpenAI-compatible server, and the offline rule-based one."""
