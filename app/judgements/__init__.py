"""Judgements: what an analyst concludes about an indicator."""
