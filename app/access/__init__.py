"""Keys, tokens and scopes: who may do what, and the audit log."""
