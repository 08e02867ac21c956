"""Keys, tokens, scopes and the audit log."""
