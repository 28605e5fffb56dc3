"""The live dashboard: the corpus as the report shows it, to click through. Reads aggregates only; needs no network."""
