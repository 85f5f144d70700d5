"""The closed loop: what outcomes say of the scores that were shown, and what is done about it."""
