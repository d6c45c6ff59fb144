"""One object (table.py), four renderings (render.py), the paper's tables (paper.py), who is best (ranking.py)."""
