"""What happens to an event? Events become profiles, segments, journeys and messages out."""
