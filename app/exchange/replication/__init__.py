"""Follow another Lifeline and apply its ledger entries."""
