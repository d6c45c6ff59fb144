"""A method for udt-bench in a package of its own."""
