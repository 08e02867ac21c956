"""Tests of app.drafts."""
