"""Who calls, and may they: evidence becomes an identity, an identity and a policy become a yes or a no."""
