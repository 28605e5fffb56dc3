"""Weights with a certificate, WebDataset shards, and the plan that accounts for every draw."""
