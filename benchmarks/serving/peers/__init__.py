"""Who else serves the same booster? What each needs to be started; nothing here imports a peer."""
