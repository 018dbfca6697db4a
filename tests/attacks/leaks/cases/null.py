"""Gains nothing: another draw of the script that it comes from."""
