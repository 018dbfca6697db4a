"""The charts of a report: what each one shows, as data that charts.js draws in the reader's browser."""
