"""The protocols: each maps an error code to its own status once, and knows no rules."""
