"""Parts of the measured ladder: its corpora, its networks, and how a run is trained."""
