-- Note how much of this minute's room is taken; rejected_room.sql holds the row's lock.
UPDATE app.rejected_room SET events = :events, bytes = :bytes WHERE source_id = :source_id;
