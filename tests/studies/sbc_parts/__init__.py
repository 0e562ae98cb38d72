"""What `sbc.py` needs: truths and data from the prior, ranks, their bands, and planted bugs."""
