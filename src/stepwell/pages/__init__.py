"""What people look at: figures, tables, reports, drawings in the terminal."""
