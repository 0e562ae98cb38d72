"""What `fuzz.py` needs: makers of cases, damage, and the guard that judges them."""
