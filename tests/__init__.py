"""The tests of era5dl, and the servers they run against."""
