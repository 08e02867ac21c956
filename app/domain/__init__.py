"""Rules without I/O: labels, times and the kinds of report."""
