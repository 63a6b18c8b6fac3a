"""What room_mapper is made of beside edgevl_core.room_map: poses in, rooms as messages out."""
