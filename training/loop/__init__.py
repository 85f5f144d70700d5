"""The closed loop: what the outcomes say of the scores as shown, and what is done about it."""
