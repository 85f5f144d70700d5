"""A scorer you can read, trust and explain: code only, trained artifacts live elsewhere."""
