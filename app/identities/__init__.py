"""What identity says of people, as far as consent lets it be shown."""
