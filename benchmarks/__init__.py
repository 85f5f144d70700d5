"""How good and how fast, measured on real data and beside others; the last line is one JSON object."""
