"""The change feed and the event stream: every ledger entry in order."""
