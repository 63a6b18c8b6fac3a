"""Furniture: functions (Style) -> parts, standing at a wall (back at y = 0) or about their own middle."""
