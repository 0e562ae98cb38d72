"""Parts of the backtest suite: ladders, ordered splits, scores, methods."""
