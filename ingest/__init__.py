"""Raw files in; a clean, split, leak-checked table of samples and its bias census out. No torch."""
