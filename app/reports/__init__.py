"""Reports: validate, record, correct, retract, label."""
