"""Long texts of a page made ready for reading: differences side by side, and logs as a terminal shows them."""
