"""Changes to one script: text in, text out."""
