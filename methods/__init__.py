"""The translation methods, one file each. Importable with torch and numpy alone."""
