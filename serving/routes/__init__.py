"""Which address answers which question? One module a subject; every route has a row in `serving.security`."""
