"""Of whom nothing is stored again: keyed hashes, asked by whoever writes what people sent."""
