"""Which address answers which question? One module a subject; `serving.security` has every row."""
