"""Everything that talks to people and machines: the API, the pages, the keys."""
