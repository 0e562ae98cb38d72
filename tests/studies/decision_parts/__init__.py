"""What the studies of decisions are made of: simulated ladders, point fits, ScaleBench's tasks."""
