"""Who is it? Identifiers, the evidence that links them, and the people that result."""
