"""Predictions in; scores group by group, gaps with verdicts, baselines and one page out. No torch."""
