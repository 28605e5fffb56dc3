"""The whole pipeline: its configuration, its stages, the command line, and the Prefect flows around them."""
