"""Categories without labels: the stages that CatS-UDT runs before it translates. Images in, clusters out."""
