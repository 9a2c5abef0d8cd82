"""Training: networks, losses, data and one loop a task. Needs torch."""
