"""The in-silico screening. Adding a property is a file here and a line in `PROPERTIES`."""
