"""Labs: figures that a reader can take hold of, in a page and in a notebook."""
