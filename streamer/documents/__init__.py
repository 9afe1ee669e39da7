"""Documents: their text, language and origin."""
