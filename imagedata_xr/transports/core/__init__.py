"""What all transports share: addresses, selections, results, limits, the spool."""
