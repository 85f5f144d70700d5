"""How fast does a score come, beside a server that computes nothing and beside peers? See `__main__`."""
