"""The closed loop: what came of the scores that were shown, and what to do about it."""
