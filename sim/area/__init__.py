"""Area: what each component of a machine takes, measured by synthesis or predicted from measured points."""
