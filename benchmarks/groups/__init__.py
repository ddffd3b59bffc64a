"""What is measured: a module a group. Each has `rows(sizes)`, and says which packages it needs."""
