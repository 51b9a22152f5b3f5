"""Request scopes: slots with a visible queue, a time limit, cancellation, and hooks that really run."""
