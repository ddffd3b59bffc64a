"""The measurements, one module per group, each with `rows(sizes)` and the packages it `NEEDS`."""
