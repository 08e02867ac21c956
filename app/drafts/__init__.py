"""Drafts: proposed reports that nobody has confirmed, and those that are read out of an article. They are in no ledger."""
