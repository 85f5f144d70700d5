"""How do a company's own files become facts? Reading, mapping, loading, and guessing a first mapping."""
