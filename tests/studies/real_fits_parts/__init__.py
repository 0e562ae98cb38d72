"""Parts of the study of real fits: tables, ordered splits, one fit and its scores."""
