"""Everything that looks at outcomes: rows, labels, learning, judging, promoting."""
