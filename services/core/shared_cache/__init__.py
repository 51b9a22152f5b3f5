"""What nodes keep of answers, search results and vectors for each other, in a Redis server; never the truth."""
