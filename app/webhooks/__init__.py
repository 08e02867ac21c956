"""Webhooks: subscriptions, the delivery queue and its dispatcher."""
