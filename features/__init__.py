"""Facts, time, columns: what we know about leads, when we knew it, and the features made of it."""
