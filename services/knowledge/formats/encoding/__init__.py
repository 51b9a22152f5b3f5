"""From bytes to text: what a file says of its encoding, and what its bytes say."""
