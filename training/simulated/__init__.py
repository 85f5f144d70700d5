"""The simulated company: who its leads are, how they go, and what its CRM records of them."""
