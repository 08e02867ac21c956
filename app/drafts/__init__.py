"""Drafts: proposed reports that are not confirmed, and those that are read out of an article. They are in no ledger."""
