"""Networks: they hold weights and run forward, and know nothing of losses, data or training."""
