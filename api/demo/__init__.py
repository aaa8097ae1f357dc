"""A year of an invented retailer, with the truth about who is who, to try the product on."""
