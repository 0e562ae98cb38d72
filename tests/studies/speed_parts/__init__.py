"""What `speed.py` times: samplers of one posterior, gradients, whole processes, many fits."""
